#pragma once

// How the executor calls a kernel: each parameter is fetched by its declared
// type and the number in its attribute.

extern "C" {
ulong tessera_buffer(uint slot);
ulong tessera_threadgroup_memory(uint declaration, ulong bytes, uint alignment);
uint tessera_builtin(uint kind, uint axis);
}

// A declaration `threadgroup T name[n]` in a kernel.
template <typename T>
TESSERA_FUNC __local T& tessera_threadgroup(uint declaration) {
  return *(__local T*)tessera_threadgroup_memory(
      declaration, sizeof(T), alignof(T));
}

template <typename P>
struct tessera_parameter {
  static P get(uint kind, uint) {
    return (P)tessera_builtin(kind, 0);
  }
};
template <typename T>
struct tessera_parameter<T __attribute__((ext_vector_type(2)))> {
  static metal::vec<T, 2> get(uint kind, uint) {
    return tessera_vector<metal::vec<T, 2>>(
        (T)tessera_builtin(kind, 0), (T)tessera_builtin(kind, 1));
  }
};
template <typename T>
struct tessera_parameter<T __attribute__((ext_vector_type(3)))> {
  static metal::vec<T, 3> get(uint kind, uint) {
    return tessera_vector<metal::vec<T, 3>>(
        (T)tessera_builtin(kind, 0),
        (T)tessera_builtin(kind, 1),
        (T)tessera_builtin(kind, 2));
  }
};
#define TESSERA_PARAMETER(space)              \
  template <typename T>                       \
  struct tessera_parameter<space T*> {        \
    static space T* get(uint, uint slot) {    \
      return (space T*)tessera_buffer(slot);  \
    }                                         \
  };                                          \
  template <typename T>                       \
  struct tessera_parameter<space T&> {        \
    static space T& get(uint, uint slot) {    \
      return *(space T*)tessera_buffer(slot); \
    }                                         \
  };
TESSERA_PARAMETER(__global)
TESSERA_PARAMETER(__constant)
