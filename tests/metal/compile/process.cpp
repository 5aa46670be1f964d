#include "compile/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <system_error>

#include "executor.h"

extern char** environ;

namespace tessera::metal {
namespace {

void check(int error, const char* what) {
  if (error != 0)
    throw std::system_error(error, std::generic_category(), what);
}

std::string read_all(int file) {
  std::string out;
  std::array<char, 65536> buffer;
  for (ssize_t n; (n = read(file, buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<std::size_t>(n));
  return out;
}

} // namespace

Finished run_program(const std::vector<std::string>& arguments) {
  std::array<int, 2> ends;
  check(pipe2(ends.data(), O_CLOEXEC) == 0 ? 0 : errno, "pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);

  std::vector<char*> words;
  for (const std::string& a : arguments)
    words.push_back(const_cast<char*>(a.c_str()));
  words.push_back(nullptr);
  pid_t child = 0;
  const int error =
      posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  // Of both limits the hard one, which kills, comes first.
  const rlimit limit = {most_seconds, most_seconds};
  if (error == 0)
    prlimit(child, RLIMIT_CPU, &limit, nullptr);
  std::string output = error == 0 ? read_all(ends[0]) : "";
  close(ends[0]);
  check(error, words[0]);

  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
    throw ExecutionError(fmt::format(
        "[metal] expected {} to end within {} s of processor time; got none, "
        "and ended it",
        arguments[0],
        most_seconds));
  return {status, std::move(output)};
}

} // namespace tessera::metal
