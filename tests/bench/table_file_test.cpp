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
  EXPECT_EQ(std::distance(fs::directory_iterator(file.parent_path()), {}), 1);
}

TEST_F(TableFile, WhatIsSavedJoinsWhatIsThere) {
  const auto file = folder_ / "tune.json";
  save_table(table(), file, false);
  auto other = table();
  auto entry = other.extract(other.begin());
  entry.key().D = 128;
  other.insert(std::move(entry));
  save_table(other, file, false);
  EXPECT_EQ(std::get<Table>(load_table(file)).size(), 2u);
  other.begin()->second.rows = 16; // measured again
  save_table(other, file, false);
  const auto both = std::get<Table>(load_table(file));
  EXPECT_EQ(both.at(other.begin()->first).rows, 16);
  EXPECT_EQ(both.at(table().begin()->first).rows, 96);
}

// As of a run that was stopped at once, with or without --force.
TEST_F(TableFile, NothingFoundLeavesTheFileAsItIs) {
  save_table(table(), folder_ / "good", false);
  const auto good = read(folder_ / "good");
  for (const bool force : {false, true}) {
    save_table({}, folder_ / "good", force);
    EXPECT_EQ(read(folder_ / "good"), good);
    save_table({}, write("mine", "shopping list"), force);
    EXPECT_EQ(read(folder_ / "mine"), "shopping list");
    save_table({}, folder_ / "new", force);
    EXPECT_FALSE(fs::exists(folder_ / "new"));
  }
}

TEST_F(TableFile, IsCheckedBeforeTheWork) {
  EXPECT_NO_THROW(check_table_file(folder_ / "new" / "tune.json", false));
  EXPECT_TRUE(fs::is_empty(folder_ / "new"));
  EXPECT_THROW(check_table_file(write("mine", "list"), false), InputError);
  EXPECT_NO_THROW(check_table_file(folder_ / "mine", true));
  EXPECT_THROW(check_table_file("/proc/tune.json", false), InputError);
  EXPECT_THROW(
      check_table_file(folder_ / "mine" / "tune.json", false), InputError);
}

TEST_F(TableFile, SaysThatAFileIsEmpty) {
  EXPECT_EQ(
      std::get<std::string>(load_table(write("empty", ""))),
      "expected a tessera tuning table; got an empty file");
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
  EXPECT_THROW(check_table_file(folder_, true), InputError);
  EXPECT_TRUE(fs::is_directory(folder_));
}

TEST(TablePath, IsInTheHomeOfTheUser) {
  EXPECT_TRUE(default_table_path().is_absolute());
  EXPECT_EQ(default_table_path().filename(), "tune.json");
}

} // namespace
} // namespace tessera
