#include "tessera/attention.h"

#include <cmath>
#include <memory>
#include <variant>

#include "api/attention_node.h"
#include "api/cpu_call.h"
#include "api/problem.h"
#include "tessera/error.h"

namespace tessera {

namespace {

constexpr const char* ours = "tessera/cpu";
constexpr const char* theirs = "mlx";

// Everything that a call is decided by.
struct Call {
  Problem problem;
  AttentionOptions options;
  mx::Stream stream;
  AttentionSettings settings;
};

Call make_call(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s) {
  const auto problem = problem_of(Pass::forward, Q, K, V, options.causal);
  const float scale =
      options.scale.value_or(1.0f / std::sqrt(static_cast<float>(problem.D)));
  if (!std::isfinite(scale)) {
    reject("attention", "expected a finite scale; got {}", scale);
  }
  if (options.block_size < 0) {
    reject(
        "attention",
        "expected a block size of 0 (the plan's own) or more; got {}",
        options.block_size);
  }
  return {
      problem,
      options,
      mx::to_stream(s),
      {scale, options.causal, options.block_size}};
}

// Why the three loops cannot compute a call; empty where they can.
std::string why_not_ours(const Call& call) {
  if (call.stream.device != mx::Device::cpu) {
    return "expected a stream of the CPU, where tessera has kernels; got one "
           "of "
           "the GPU";
  }
  for (const Pass pass : {Pass::forward, Pass::dQ, Pass::dKdV}) {
    Problem problem = call.problem;
    problem.pass = pass;
    const auto planned = plan_on_cpu(problem, call.options.block_size);
    if (const auto* refusal = std::get_if<Refusal>(&planned)) {
      return refusal->reason;
    }
  }
  return "";
}

// What MLX's op does differently, which who takes it should know.
std::string mlx_caveat(const Problem& problem) {
  return problem.causal && problem.Nq > problem.Nk
      ? "; a query that sees no key gets the mean of V there, and 0 from "
        "tessera"
      : "";
}

// Where MLX's op is faster, and agrees with ours. Measured on 2 cores with
// AVX-512, lengths 64 to 4096: a single float32 query takes MLX 0.6 to 0.9 of
// our time (its two matrix-vector products pack nothing); 16 queries and more,
// and 16-bit inputs of any length, take it 1.6 to 100 times ours.
bool mlx_is_faster(const Problem& problem) {
  return problem.Nq == 1 && problem.Nk >= 1 && problem.dtype == Dtype::float32;
}

Choice choose(const Call& call, bool logsumexp = false) {
  const auto& options = call.options;
  if (options.implementation == Implementation::mlx) {
    if (options.block_size != 0) {
      reject(
          "attention",
          "expected no block size with implementation mlx, whose tiles are its "
          "own; got {}",
          options.block_size);
    }
    return {theirs, "asked for" + mlx_caveat(call.problem)};
  }
  const auto refusal = why_not_ours(call);
  const bool asked = options.implementation == Implementation::tessera;
  if (!refusal.empty() && (asked || options.block_size != 0)) {
    reject("attention", "{}", refusal);
  }
  if (asked) {
    return {ours, "asked for"};
  }
  if (!refusal.empty()) {
    return {theirs, refusal + mlx_caveat(call.problem)};
  }
  if (options.block_size != 0) {
    return {ours, "a block size is given, which MLX's op does not take"};
  }
  if (mlx_is_faster(call.problem) && !logsumexp) {
    return {
        theirs,
        "for a single float32 query MLX's op was measured faster on the CPU"};
  }
  return {
      ours, "measured faster than MLX's op on the CPU, which holds all scores"};
}

AttentionOutput ours_of(
    const Call& call,
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V) {
  const auto primitive =
      std::make_shared<AttentionForward>(call.stream, call.settings);
  const auto outputs = mx::array::make_arrays(
      primitive->output_shapes({Q, K, V}),
      {Q.dtype(), mx::float32},
      primitive,
      {Q, K, V});
  return {outputs[0], outputs[1]};
}

} // namespace

mx::array attention(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s) {
  const auto call = make_call(Q, K, V, options, s);
  if (choose(call).name == ours) {
    return ours_of(call, Q, K, V).O;
  }
  return mx::fast::scaled_dot_product_attention(
      Q,
      K,
      V,
      call.settings.scale,
      options.causal ? "causal" : "",
      {},
      {},
      false,
      call.stream);
}

AttentionOutput attention_with_logsumexp(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s) {
  const auto call = make_call(Q, K, V, options, s);
  const auto choice = choose(call, true);
  if (choice.name != ours) {
    reject(
        "attention",
        "expected implementation tessera with the logsumexp, which MLX's op "
        "does "
        "not return; got mlx ({})",
        choice.reason);
  }
  return ours_of(call, Q, K, V);
}

Choice explain_attention(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s) {
  return choose(make_call(Q, K, V, options, s));
}

} // namespace tessera
