#include "bench/torch/child.h"

#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tessera/error.h"

extern char** environ;

namespace tessera::bench {

namespace {

// Of a socket whose other end is gone, an error instead of SIGPIPE.
#ifdef MSG_NOSIGNAL
constexpr int quietly = MSG_NOSIGNAL;
#else
constexpr int quietly = 0;
#endif

} // namespace

Child::Child(const std::vector<std::string>& command) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) {
    reject(
        "bench", "expected a pair of sockets; got: {}", std::strerror(errno));
  }
  socket_ = ends[0];
#ifdef SO_NOSIGPIPE
  const int on = 1;
  ::setsockopt(socket_, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  std::vector<char*> arguments;
  for (const auto& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const int error = ::posix_spawnp(
      &process_, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(socket_);
    reject(
        "bench",
        "expected a program that can be started; got {}: {}",
        command[0],
        std::strerror(error));
  }
}

Child::~Child() {
  ::close(socket_); // the end of its input ends it
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
}

std::string Child::ask(const std::string& line) {
  const std::string message = line + "\n";
  std::size_t sent = 0;
  while (sent < message.size()) {
    const auto step =
        ::send(socket_, message.data() + sent, message.size() - sent, quietly);
    if (step < 0 && errno == EINTR) {
      continue;
    }
    if (step <= 0) {
      return "";
    }
    sent += static_cast<std::size_t>(step);
  }
  std::size_t end = 0;
  while ((end = received_.find('\n')) == std::string::npos) {
    std::array<char, 4096> piece{};
    const auto step = ::recv(socket_, piece.data(), piece.size(), 0);
    if (step < 0 && errno == EINTR) {
      continue;
    }
    if (step <= 0) {
      return "";
    }
    received_.append(piece.data(), static_cast<std::size_t>(step));
  }
  const auto answer = received_.substr(0, end);
  received_.erase(0, end + 1);
  return answer;
}

} // namespace tessera::bench
