#pragma once

#include "train/setup.h"

namespace tessera::train {

// Reads the splits that the run's options ask for, by its tokenizer and for its
// model. Documents without a token to learn are left out; what the user should
// know of that, and of long ones, is added to the plan's notes.
void read_data(Run& run);

} // namespace tessera::train
