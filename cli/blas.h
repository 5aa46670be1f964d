#pragma once

namespace tessera::cli {

// OpenBLAS chooses its kernels by the processor's model as it is loaded, before
// main(): version 0.3.21 gives a processor that is newer than it those of SSE3,
// at a fifth of the speed. Where it has, starts the program again with the
// kernels named that the processor can run. Returns where all is well, or where
// OPENBLAS_CORETYPE says that somebody has chosen.
void restart_with_fitting_kernels(char** argv);

} // namespace tessera::cli
