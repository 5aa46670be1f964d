#include <fmt/format.h>

#include <cstring>
#include <mutex>

#include "compile/compiler.h"
#include "executor.h"
#include "runtime/machine.h"

namespace tessera::metal {
namespace {

using Bytes = std::vector<std::byte>;

void check_size(const Dispatch& dispatch, const Module& module) {
  const auto& [x, y, z] = dispatch.threadgroup;
  const std::uint64_t threads = std::uint64_t{x} * y * z;
  if (threads == 0 || threads > std::min(module.limit, 1024u))
    throw ExecutionError(fmt::format(
        "[metal] {}: expected 1 to {} threads a threadgroup; got {}",
        dispatch.function,
        std::min(module.limit, 1024u),
        threads));
}

// "Metal Feature Set Tables": [[buffer(n)]] with n up to 30.
void check_buffers(const Dispatch& dispatch) {
  constexpr std::size_t most = 31;
  if (dispatch.buffers.size() > most)
    throw ExecutionError(fmt::format(
        "[metal] {}: expected at most {} buffers; got {}",
        dispatch.function,
        most,
        dispatch.buffers.size()));
}

struct Ran {
  Counts counts;
  std::vector<Bytes> outputs; // of each buffer; empty of an input
};

Ran run(
    const Dispatch& dispatch,
    const Options& options,
    const Module& module,
    unsigned seed) {
  check_buffers(dispatch);
  check_size(dispatch, module);
  std::memset(module.float_counts, 0, 4 * sizeof *module.float_counts);
  Machine runs(dispatch, options, module.entry);
  runs.run(seed);
  Ran ran{runs.counts, {}};
  ran.counts.float_adds = module.float_counts[0];
  ran.counts.float_multiplies = module.float_counts[1];
  ran.counts.float_fused = module.float_counts[2];
  ran.counts.float_divisions = module.float_counts[3];
  for (std::size_t i = 0; i < dispatch.buffers.size(); ++i) {
    const Buffer& b = dispatch.buffers[i];
    const std::byte* data = runs.device.data(i);
    ran.outputs.push_back(b.writable ? Bytes(data, data + b.bytes) : Bytes());
  }
  return ran;
}

void check_equal(
    const Dispatch& dispatch,
    const Ran& first,
    const Ran& other,
    const std::string& why) {
  for (std::size_t i = 0; i < first.outputs.size(); ++i)
    for (std::size_t b = 0; b < first.outputs[i].size(); ++b)
      if (first.outputs[i][b] != other.outputs[i][b])
        throw ExecutionError(fmt::format(
            "[metal] {}: byte {} of buffer {} depends on {}",
            dispatch.function,
            b,
            i,
            why));
}

} // namespace

Counts execute(const Dispatch& dispatch, const Options& options) {
  static std::mutex one_at_a_time;
  const Module& module = load(dispatch, Fill::pattern);
  const std::lock_guard lock(one_at_a_time);
  const Ran first = run(dispatch, options, module, 0);
  for (int s = 1; s < options.schedules; ++s)
    check_equal(
        dispatch,
        first,
        run(dispatch, options, module, static_cast<unsigned>(s)),
        "the order in which threads run");
  if (options.registers)
    check_equal(
        dispatch,
        first,
        run(dispatch, options, load(dispatch, Fill::zero), 0),
        "what an uninitialised variable holds");
  for (std::size_t i = 0; i < dispatch.buffers.size(); ++i)
    if (dispatch.buffers[i].writable && dispatch.buffers[i].bytes != 0)
      std::memcpy(
          dispatch.buffers[i].data,
          first.outputs[i].data(),
          dispatch.buffers[i].bytes);
  return first.counts;
}

} // namespace tessera::metal
