#pragma once

#include "tessera/dataset.h"
#include "train/memory/predict.h"
#include "train/setup.h"

namespace tessera::train {

// Of a run whose data is read and whose weights are not. Measures what the
// process holds now.
MemoryShape memory_shape(const Run& run);

} // namespace tessera::train
