#pragma once

#include "api/metal/backend.h"
#include "tessera/attention.h"

namespace tessera {

// What explain_attention says where the stream is a GPU's of this backend,
// which need not be there.
Choice explain_on_metal(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    const MetalBackend& backend);

} // namespace tessera
