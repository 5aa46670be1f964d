#pragma once

#include <sys/types.h>
#include <string>
#include <vector>

namespace tessera::bench {

// A program whose standard input and output are a line a message.
class Child {
 public:
  // InputError where it cannot be started.
  explicit Child(const std::vector<std::string>& command);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Sends a line and waits for one; empty where the program has ended.
  std::string ask(const std::string& line);

 private:
  int socket_ = -1;
  pid_t process_ = -1;
  std::string received_;
};

} // namespace tessera::bench
