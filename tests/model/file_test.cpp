#include "model/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>

#include "model/expect.h"
#include "model/scratch.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

void write_text(const fs::path& file, const std::string& text) {
  write_file(file, [&](std::ostream& out) { out << text; });
}

TEST(WriteFile, ReplacesTheFileAndLeavesItsNeighboursAlone) {
  const Scratch scratch;
  const auto file = scratch.folder / "x";
  std::ofstream(scratch.folder / "x.tmp") << "mine";
  write_text(file, "one");
  write_text(file, "two");
  EXPECT_EQ(read_file(file, "test"), "two");
  EXPECT_EQ(read_file(scratch.folder / "x.tmp", "test"), "mine");
  EXPECT_EQ(names_in(scratch.folder), (std::set<std::string>{"x", "x.tmp"}));
}

TEST(WriteFile, HasTheRightsOfAnyNewFile) {
  const Scratch scratch;
  const auto before = ::umask(027);
  write_text(scratch.folder / "x", "one");
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat((scratch.folder / "x").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST(WriteFile, KeepsTheOldBytesAndLeavesNothingWhereItFails) {
  const Scratch scratch;
  const auto file = scratch.folder / "x";
  std::ofstream(scratch.folder / "x.tmp") << "mine";
  write_text(file, "one");
  EXPECT_THROW(
      write_file(
          file,
          [](std::ostream& out) {
            out << "half";
            throw std::runtime_error("");
          }),
      std::runtime_error);
  EXPECT_THROW(
      write_file(
          file, [](std::ostream& out) { out.setstate(std::ios::badbit); }),
      WriteError);
  fs::create_directory(scratch.folder / "folder");
  expect_rejected(
      [&] { write_text(scratch.folder / "folder", "x"); }, "folder");
  EXPECT_EQ(read_file(file, "test"), "one");
  EXPECT_EQ(
      names_in(scratch.folder),
      (std::set<std::string>{"folder", "x", "x.tmp"}));
}

TEST(MakeTemporary, HasANameOfItsOwnEachTime) {
  const Scratch scratch;
  std::set<fs::path> made;
  for (int i = 0; i < 20; ++i) {
    const auto path = make_temporary(scratch.folder / "x");
    ASSERT_TRUE(path);
    made.insert(*path);
  }
  EXPECT_EQ(made.size(), 20u);
  remove_temporaries(scratch.folder);
  EXPECT_EQ(names_in(scratch.folder), std::set<std::string>{});
  EXPECT_FALSE(make_temporary("/nowhere/x"));
}

} // namespace
} // namespace tessera
