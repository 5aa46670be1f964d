#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "bench/tune/file.h"
#include "tessera/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

class TableFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
        ("tessera-table-" +
         std::string(
             testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override {
    fs::remove_all(folder_);
  }
  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  static std::string read(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static Table table() {
    Problem problem;
    problem.B = problem.Hq = problem.Hkv = 1;
    problem.Nq = problem.Nk = problem.D = problem.Dv = 64;
    return {{key_of(problem, Device{}), {96, 48, false}}};
  }

  fs::path folder_;
};

TEST_F(TableFile, IsReadBackAndMakesItsFolder) {
  const auto file = folder_ / "new" / "folder" / "tune.json";
  EXPECT_EQ(std::get<Table>(load_table(file)), Table{});
  save_table(table(), file, false);
  EXPECT_EQ(std::get<Table>(load_table(file)), table());
  save_table({}, file, false); // one's own may be replaced
  EXPECT_EQ(std::get<Table>(load_table(file)), Table{});
  EXPECT_EQ(std::distance(fs::directory_iterator(file.parent_path()), {}), 1);
}

TEST_F(TableFile, AForeignFileIsNotReplacedWithoutForce) {
  for (const std::string text :
       {"{\"notes\": 1}", "shopping list", "", "{\"format\": \"tessera"}) {
    const auto file = write("mine", text);
    EXPECT_TRUE(std::holds_alternative<std::string>(load_table(file))) << text;
    EXPECT_THROW(save_table(table(), file, false), InputError) << text;
    EXPECT_EQ(read(file), text);
    save_table(table(), file, true);
    EXPECT_EQ(std::get<Table>(load_table(file)), table());
  }
}

TEST_F(TableFile, AFolderIsNoTable) {
  EXPECT_TRUE(std::holds_alternative<std::string>(load_table(folder_)));
  EXPECT_THROW(save_table(table(), folder_, false), InputError);
  EXPECT_THROW(save_table(table(), folder_, true), InputError);
  EXPECT_TRUE(fs::is_directory(folder_));
}

TEST(TablePath, IsInTheHomeOfTheUser) {
  EXPECT_TRUE(default_table_path().is_absolute());
  EXPECT_EQ(default_table_path().filename(), "tune.json");
}

} // namespace
} // namespace tessera
