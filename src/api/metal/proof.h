#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/metal/backend.h"
#include "api/problem.h"
#include "check/arrays.h"

namespace tessera {

// What is proven together: one node's passes.
enum class Direction { forward, backward };

// The plans that have computed a small problem on one device, and whether its
// results were right. Each is tried once in a process.
class Proofs {
 public:
  // Plans with what was found wrong, "" where nothing was.
  using Found = std::vector<std::pair<metal::Plan, std::string>>;

  // What was found wrong with one of these plans; "" where all are right. Where
  // one was not tried yet, `trial` tries them all. Other callers wait
  // meanwhile.
  std::string why_not(
      const std::vector<metal::Plan>& plans,
      const std::function<Found()>& trial);

  // The same of those that were tried.
  std::string known(const std::vector<metal::Plan>& plans) const;

 private:
  std::string find(const std::vector<metal::Plan>& plans) const;

  mutable std::mutex mutex_;
  std::unordered_map<metal::Plan, std::string> tried_;
};

// O and L of a call by the kernels of the stream's device, proven or not; on a
// GPU with these tiles.
std::vector<mx::array> unproven(
    const cases::Arrays& arrays,
    mx::Stream stream,
    const metal::Tiles& tiles = {});

// Why the GPU of `stream` is not trusted with a call: its kernels were found
// wrong, by plain float64 formulas, on a small problem of the same plans; ""
// where they were right, or `backend` asks for no proof. The first call of a
// plan computes that problem, and warns where it is wrong.
std::string why_not_trusted(
    const MetalBackend& backend,
    mx::Stream stream,
    const Problem& problem,
    const AttentionSettings& settings,
    Direction direction);

// The same, by what is known; computes nothing.
std::string known_not_trusted(
    const MetalBackend& backend,
    const Problem& problem,
    const AttentionSettings& settings,
    Direction direction);

} // namespace tessera
