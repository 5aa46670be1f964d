#include "bench/contender.h"

namespace tessera::bench {

// Throws InputError where `attention` refuses the case.
std::unique_ptr<Contender> tessera_contender(const Arrays& arrays) {
  auto contender = std::make_unique<MlxContender>(arrays, [](const Arrays& a) {
    return attention(a.Q, a.K, a.V, a.options);
  });
  contender->name = "flash";
  contender->path =
      explain_attention(arrays.Q, arrays.K, arrays.V, arrays.options).name;
  return contender;
}

} // namespace tessera::bench
