#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/metal/launcher.h"
#include "backend/metal/launch.h"

namespace tessera {

using NamedArrays = std::map<std::string, mx::array>;

// What the schedule of a call is told of an array.
metal::Array described(const std::string& name, const mx::array& array);

// Runs the steps in order. `arrays` holds what they read; of what they write,
// that which is in `outputs` goes there.
void run(
    const std::vector<metal::Step>& steps,
    NamedArrays arrays,
    const NamedArrays& outputs,
    Launcher& launcher);

// The same array, or a copy of it where its last axis has gaps: features are
// read side by side.
mx::array without_gaps(const mx::array& array, Launcher& launcher);

} // namespace tessera
