#include "api/node/memory.h"

#include <gtest/gtest.h>
#include <mlx/mlx.h>

#include "ops/rms_norm.h"

namespace tessera {

namespace mx = mlx::core;

namespace {

constexpr std::size_t row = 256 * sizeof(float);

class FreedArrays : public testing::Test {
 protected:
  void TearDown() override {
    keep_freed_arrays(0);
  }

  // In use at once: x and its norm.
  static void norm_of(int rows) {
    const auto x = mx::full({rows, 256}, 2.0f);
    mx::eval(ops::rms_norm(x, mx::ones({256}), 1e-5f));
    mx::synchronize();
  }

  static std::size_t held() {
    return mx::get_active_memory() + mx::get_cache_memory();
  }
};

TEST_F(FreedArrays, ServeThoseOfTheirSize) {
  keep_freed_arrays(mx::get_active_memory() + 2000 * row);
  norm_of(500);
  EXPECT_GE(mx::get_cache_memory(), 2 * 500 * row);
  const auto before = held();
  norm_of(500);
  EXPECT_LT(held(), before + row); // but for scalars
}

// Each size is one that nothing kept would serve.
TEST_F(FreedArrays, AreWithinTheBound) {
  const auto most = mx::get_active_memory() + 2100 * row;
  keep_freed_arrays(most);
  for (const int rows : {1000, 100, 900, 200, 800, 300, 700, 400}) {
    norm_of(rows);
    EXPECT_LE(held(), most) << rows;
    EXPECT_GT(mx::get_cache_memory(), 0u) << rows;
  }
}

TEST_F(FreedArrays, AreNotKeptWithoutOne) {
  keep_freed_arrays(mx::get_active_memory() + 2000 * row);
  norm_of(500);
  keep_freed_arrays(0);
  EXPECT_EQ(mx::get_cache_memory(), 0u);
  norm_of(500);
  EXPECT_EQ(mx::get_cache_memory(), 0u);
}

} // namespace

} // namespace tessera
