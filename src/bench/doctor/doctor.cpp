#include "tessera/doctor.h"

#include <algorithm>

#include "bench/doctor/examine.h"
#include "bench/output/facts.h"

namespace tessera {

bool Diagnosis::healthy() const {
  return !cases.empty() && std::ranges::all_of(cases, [](const auto& one) {
    return one.failed.empty();
  });
}

Diagnosis diagnose(
    const DoctorOptions& options, const DoctorObserver& observer) {
  Diagnosis all;
  all.tessera_version = TESSERA_VERSION;
  all.date = bench::now();
  all.system = system_info();
  all.matmul_gflops = matmul_rate();
  std::vector<std::pair<const char*, mx::Device>> backends = {
      {"cpu", mx::Device::cpu}};
  if (mx::metal::is_available()) {
    backends.emplace_back("metal", mx::Device::gpu);
  }
  const auto cases = bench::doctor_cases(options.quick);
  const int count = static_cast<int>(cases.size() * backends.size());
  for (const auto& [name, device] : backends) {
    for (const auto& c : cases) {
      all.cases.push_back(bench::examine(c, name, mx::default_stream(device)));
      const int done = static_cast<int>(all.cases.size());
      if (observer && !observer(all.cases.back(), done, count)) {
        all.interrupted = true;
        return all;
      }
    }
  }
  return all;
}

} // namespace tessera
