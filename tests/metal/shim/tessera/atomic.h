#pragma once

// Atomics (section 6.15), the one kind that brings threads of several
// threadgroups into an order: a count in device memory.

enum memory_order { memory_order_relaxed };

struct atomic_uint {
  uint tessera_value;
};

extern "C" uint tessera_atomic_add(__global uint* at, uint value);

namespace metal {

TESSERA_FUNC uint atomic_fetch_add_explicit(
    volatile device atomic_uint* object, uint value, memory_order) {
  return tessera_atomic_add((__global uint*)&object->tessera_value, value);
}

} // namespace metal
