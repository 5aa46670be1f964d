// real_size FOLDER tessera|mlx: one LoRA step of the model that
// scripts/golden/real_size.py wrote, against what it expects. Ends with 1 where
// they differ by more than the golden tests allow.

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>

#include "model/golden.h"

namespace tessera {
namespace {

constexpr double tolerance = 1e-4;

double peak_gib() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return double(usage.ru_maxrss) / (1 << 30);
#else
  return double(usage.ru_maxrss) / (1 << 20);
#endif
}

int run(const std::filesystem::path& folder, const std::string& name) {
  auto golden = load_golden(folder);
  golden.forward.attention.implementation =
      name == "mlx" ? Implementation::mlx : Implementation::tessera;
  const auto lora = with_prefix(golden.expected, "lora.");
  const auto batch = batch_of(golden.numbers["batches"][0]);
  const auto step = [&] {
    return gradients_of(
        golden.config, golden.parameters, lora, batch, golden.forward);
  };
  step();
  const auto start = std::chrono::steady_clock::now();
  const auto [loss, gradients] = step();
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;

  const double want = golden.numbers["loss"];
  const double loss_difference = std::abs(double(loss) - want) / want;
  double worst = 0;
  std::string worst_name;
  for (const auto& [array, gradient] :
       with_prefix(golden.expected, "gradient.")) {
    const double d = relative_difference(gradients.at(array), gradient);
    if (!(d <= worst)) {
      worst = d;
      worst_name = array;
    }
  }
  fmt::print(
      "{}: loss {:.6f} ({:.1e} off), worst of {} gradients {:.1e} off ({}), "
      "{:.1f} tokens/s, peak {:.2f} GiB\n",
      name,
      loss,
      loss_difference,
      gradients.size(),
      worst,
      worst_name,
      (batch.shape(1) - 1) / seconds.count(),
      peak_gib());
  return loss_difference < tolerance && worst < tolerance ? 0 : 1;
}

} // namespace
} // namespace tessera

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: real_size FOLDER tessera|mlx\n");
    return 2;
  }
  return tessera::run(argv[1], argv[2]);
}
