#pragma once

#include <string>
#include <vector>

// What the executor reads from, and rewrites in, a preprocessed Metal text.
namespace tessera::metal {

struct Parameter {
  unsigned kind; // 0 a buffer, else an index into builtin_names
  unsigned slot;
};

struct Kernel {
  std::string name;            // without arguments
  std::string call;            // with template arguments, as C++ calls it
  std::string template_header; // "template <typename T>", or empty
  std::string limit;           // of max_total_threads_per_threadgroup, or empty
  std::vector<Parameter> parameters;
};

// Names of [[attributes]] that give a thread its place; index 0 is "buffer".
extern const std::vector<std::string> builtin_names;

// Finds a kernel by its name, host_name or template with arguments.
Kernel find_kernel(const std::string& text, const std::string& function);

// Throws where a text, past its includes, has what Metal has not: a pointer or
// reference without address space, exceptions, double...; an approximation that
// reads words, so as to say here what only Apple's compiler would.
void check_rules(const std::string& text);

// What a text is compiled for: to be executed, or for a GPU whose registers are
// counted.
enum class Target { execution, registers };

// Metal in the words of C++ for OpenCL, line by line: threadgroup variables
// become references into the executor's memory, and what that language has no
// word for goes (loop pragmas, which matter where it is optimised alone; names
// of explicit instantiations).
std::string lower(const std::string& text, Target target);

// The functions by which the executor enters the kernel; or a kernel of OpenCL
// that does, of TESSERA_REGISTERS registers.
std::string entry(const Kernel& kernel, Target target);

} // namespace tessera::metal
