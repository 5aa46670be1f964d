#pragma once

#include <mlx/mlx.h>

#include <filesystem>
#include <string>

namespace tessera::bench {

namespace mx = mlx::core;

// A folder of its own for arrays that go from one process to another, each a
// file of contiguous float32; removed with all of them.
class Exchange {
 public:
  // Throws Failure where there is no room for it.
  Exchange();
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const std::filesystem::path& folder() const {
    return folder_;
  }

  void put(const std::string& name, const mx::array& x) const;
  // What the other process has put there, as float32 of this shape.
  mx::array get(const std::string& name, const mx::Shape& shape) const;

 private:
  std::filesystem::path folder_;
};

} // namespace tessera::bench
