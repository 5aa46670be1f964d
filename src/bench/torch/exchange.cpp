#include "bench/torch/exchange.h"

#include <stdlib.h>

#include <fstream>
#include <vector>

#include "bench/contender.h"

namespace tessera::bench {

namespace fs = std::filesystem;

Exchange::Exchange() {
  std::error_code error;
  std::string name =
      (fs::temp_directory_path(error) / "tessera-bench-XXXXXX").string();
  if (error || ::mkdtemp(name.data()) == nullptr) {
    throw Failure("expected a folder for temporary files; got none");
  }
  folder_ = name;
}

Exchange::~Exchange() {
  std::error_code error;
  fs::remove_all(folder_, error);
}

void Exchange::put(const std::string& name, const mx::array& x) const {
  const auto values = mx::contiguous(mx::astype(x, mx::float32));
  mx::eval(values);
  std::ofstream file(folder_ / name, std::ios::binary);
  file.write(
      reinterpret_cast<const char*>(values.data<float>()),
      static_cast<std::streamsize>(values.nbytes()));
  if (!file.flush()) {
    throw Failure("expected room for temporary files; got none");
  }
}

mx::array Exchange::get(const std::string& name, const mx::Shape& shape) const {
  std::size_t count = 1;
  for (const int side : shape) {
    count *= static_cast<std::size_t>(side);
  }
  std::vector<float> values(count);
  const auto bytes = static_cast<std::streamsize>(count * sizeof(float));
  std::ifstream file(folder_ / name, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(values.data()), bytes)) {
    throw Failure("expected the values of " + name + "; got too few");
  }
  return mx::array(values.data(), shape);
}

} // namespace tessera::bench
