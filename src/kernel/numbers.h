#pragma once

namespace tessera {

// The numbers of a call.
struct Numbers {
  float scale = 1.0f;
  float softcap = 0.0f; // read where the problem has softcap
  float dropout = 0.0f; // probability; read where the problem has dropout

  bool operator==(const Numbers&) const = default;
};

} // namespace tessera
