#include "tessera/attention.h"

#include <fmt/format.h>

#include <tuple>
#include <variant>

#include "api/arguments.h"
#include "api/explain.h"
#include "api/metal/proof.h"
#include "api/node/attention_node.h"
#include "api/node/cpu_call.h"
#include "api/tuning.h"
#include "plan/metal/planner.h"
#include "tessera/error.h"

namespace tessera {

namespace {

constexpr const char* on_cpu = "tessera/cpu";
constexpr const char* on_metal = "tessera/metal";
constexpr const char* theirs = "mlx";

// Everything that a call is decided by.
struct Call {
  Arguments arguments;
  Implementation implementation;
  mx::Stream stream;
  std::optional<MetalBackend> metal; // the stream's

  const Problem& problem() const {
    return arguments.problem;
  }
  const AttentionSettings& settings() const {
    return arguments.settings;
  }
};

Call make_call(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s) {
  const auto stream = mx::to_stream(s);
  return {
      make_arguments(Q, K, V, options, stream),
      options.implementation,
      stream,
      metal_backend(stream)};
}

// Why the CPU's loops cannot compute a call; empty where they can.
std::string why_not_on_cpu(const Call& call) {
  for (const Pass pass : {Pass::forward, Pass::backward, Pass::dbias}) {
    Problem problem = call.problem();
    problem.pass = pass;
    if (pass == Pass::dbias && !problem.features.bias) {
      continue;
    }
    const auto planned =
        plan_on_cpu(problem, call.settings().block_size).planned;
    if (const auto* refusal = std::get_if<Refusal>(&planned)) {
      return refusal->reason;
    }
  }
  return "";
}

std::string why_not_on_metal(const Call& call, const MetalBackend& backend) {
  for (const auto pass :
       {metal::Pass::forward, metal::Pass::dq, metal::Pass::dkv}) {
    const auto planned = metal::make_plan(
        call.problem(), pass, backend.family, call.settings().block_size);
    if (const auto* refusal = std::get_if<Refusal>(&planned)) {
      return refusal->reason;
    }
  }
  return "";
}

// Whether the kernels of a call are tried before they are taken.
enum class Trials { run, known };

// Which of ours would compute a call, or why none can.
struct Ours {
  const char* name = on_cpu;
  std::string refusal = "";
  // What was found wrong with the GPU's kernels, in whose place the CPU's are.
  std::string wrong = "";
};

Ours ours_for(const Call& call, Trials trials) {
  if (const auto& backend = call.metal) {
    const auto refusal = why_not_on_metal(call, *backend);
    if (!refusal.empty()) {
      return {on_metal, refusal};
    }
    const auto& [problem, settings] = std::tie(call.problem(), call.settings());
    const auto wrong = trials == Trials::run
        ? why_not_trusted(
              *backend, call.stream, problem, settings, Direction::forward)
        : known_not_trusted(*backend, problem, settings, Direction::forward);
    return {wrong.empty() ? on_metal : on_cpu, "", wrong};
  }
  if (call.stream.device != mx::Device::cpu) {
    return {
        on_metal,
        "expected a stream of the CPU or of an Apple GPU, where tessera has "
        "kernels; got one of another GPU"};
  }
  return {on_cpu, why_not_on_cpu(call)};
}

// The first feature of a call that MLX's op is not given, with the reason;
// empty where there is none.
std::string why_not_mlx(const Problem& p) {
  constexpr const char* none = "which MLX's op does not have";
  constexpr const char* other =
      "where MLX's op treats a query that sees no key otherwise";
  struct Row {
    bool present;
    const char* feature;
    const char* reason;
  };
  const Row rows[] = {
      {p.left != unbounded || p.right != unbounded, "a window", none},
      {p.features.segments, "segments", none},
      {p.features.prefix, "a prefix", none},
      {p.chunk > 0, "a chunk", none},
      {p.features.mask, "a mask", other},
      {p.features.bias, "a bias", other},
      {p.features.alibi, "alibi", none},
      {p.features.softcap, "a softcap", none},
      {p.features.sinks, "sinks", "whose gradient MLX's op does not give"},
      {p.features.dropout, "dropout", none},
      {p.block_rows > 0, "a block list", none}};
  for (const auto& [present, feature, reason] : rows) {
    if (present) {
      return fmt::format("{}, {}", feature, reason);
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

// Where MLX's op is taken on Metal before anything was measured on the machine:
// its fused kernels, whose speed its users know; ours is predicted. Of the
// other shapes its forward or its gradient holds all scores.
bool mlx_is_known_on_metal(const Problem& p) {
  return p.D == p.Dv && (p.D == 64 || p.D == 80 || p.D == 128) &&
      p.Nq > metal::few_queries && (!p.causal || p.Nq <= p.Nk);
}

// Where MLX's op is faster on the CPU, and agrees with ours. Measured on 2
// cores with AVX-512, lengths 64 to 4096: a single float32 query takes MLX 0.6
// to 0.9 of our time (its two matrix-vector products pack nothing); 16 queries
// and more, and 16-bit inputs of any length, take it 1.6 to 100 times ours.
bool mlx_is_faster(const Problem& problem) {
  return problem.Nq == 1 && problem.Nk >= 1 && problem.dtype == Dtype::float32;
}

Choice theirs_as_asked(const Call& call) {
  const auto beyond = why_not_mlx(call.problem());
  if (!beyond.empty()) {
    reject(
        "attention",
        "expected implementation tessera with {}; got mlx",
        beyond);
  }
  if (call.settings().block_size != 0) {
    reject(
        "attention",
        "expected no block size with implementation mlx, whose tiles are its "
        "own; got {}",
        call.settings().block_size);
  }
  return {theirs, "asked for" + mlx_caveat(call.problem())};
}

// What was measured on this machine; MLX's op where it may be taken.
Choice by_table(
    const TableEntry& entry, const Ours& ours, const Problem& p, bool may) {
  const bool take = entry.mlx_faster && may && (!p.causal || p.Nq <= p.Nk);
  return {take ? theirs : ours.name, "the saved table says it is faster here"};
}

// The choice where both can, and nobody asked for one.
Choice weigh(const Call& call, const Ours& ours, bool logsumexp) {
  const Problem& p = call.problem();
  if (ours.name == on_metal) {
    if (const auto entry = tuned(p, machine_of(*call.metal))) {
      // The gradient of MLX's op throws at some of the fewest queries.
      const bool trained = p.Nq > metal::few_queries;
      return by_table(*entry, ours, p, trained && !logsumexp);
    }
    if (mlx_is_known_on_metal(p) && !logsumexp) {
      return {
          theirs,
          "MLX has fused kernels for it on Metal, and nothing was measured "
          "here"};
    }
    return {
        on_metal,
        logsumexp ? "MLX's op does not return the logsumexp"
                  : "MLX's op or its gradient holds all scores of this shape"};
  }
  if (const auto entry = plan_on_cpu(p, 0).tuned) {
    return by_table(*entry, ours, p, !logsumexp);
  }
  if (mlx_is_faster(p) && !logsumexp) {
    return {
        theirs,
        "for a single float32 query MLX's op was measured faster on the CPU"};
  }
  return {
      ours.name,
      "measured faster than MLX's op on the CPU, which holds all scores"};
}

// The choice where the GPU's kernels were found wrong: MLX's op where it can.
Choice in_place_of_wrong(const Ours& ours, bool to_mlx, std::string why) {
  return {
      to_mlx ? theirs : ours.name,
      fmt::format(
          "{}; tessera's kernels were found wrong on this GPU ({})",
          std::move(why),
          ours.wrong)};
}

Choice choose(const Call& call, Trials trials, bool logsumexp = false) {
  if (call.implementation == Implementation::mlx) {
    return theirs_as_asked(call);
  }
  const auto ours = ours_for(call, trials);
  const auto beyond = why_not_mlx(call.problem());
  const bool asked = call.implementation == Implementation::tessera;
  const bool tiles = call.settings().block_size != 0;
  if (!ours.refusal.empty() && (asked || tiles || !beyond.empty())) {
    reject(
        "attention",
        "{}{}",
        ours.refusal,
        asked || beyond.empty() ? "" : " (and the call has " + beyond + ")");
  }
  if (!ours.wrong.empty()) {
    const bool to_mlx = !asked && beyond.empty() && !logsumexp;
    return in_place_of_wrong(
        ours,
        to_mlx,
        to_mlx ? "MLX's op" + mlx_caveat(call.problem()) : "the CPU's kernels");
  }
  if (asked) {
    return {ours.name, "asked for"};
  }
  if (!ours.refusal.empty()) {
    return {theirs, ours.refusal + mlx_caveat(call.problem())};
  }
  if (tiles) {
    return {ours.name, "a block size is given, which MLX's op does not take"};
  }
  if (!beyond.empty()) {
    return {ours.name, "the call has " + beyond};
  }
  return weigh(call, ours, logsumexp);
}

AttentionOutput ours_of(const Call& call, const Choice& choice) {
  const bool in_place = choice.name == on_cpu && call.metal;
  const AttentionForward node(
      in_place ? mx::default_stream(mx::Device::cpu) : call.stream,
      in_place ? call.settings().on_cpu() : call.settings());
  const auto outputs = node.apply(call.arguments.inputs);
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
  const auto choice = choose(call, Trials::run);
  if (choice.name != theirs) {
    return ours_of(call, choice).O;
  }
  return mx::fast::scaled_dot_product_attention(
      Q,
      K,
      V,
      call.settings().numbers.scale,
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
  const auto choice = choose(call, Trials::run, true);
  if (choice.name == theirs) {
    reject(
        "attention",
        "expected implementation tessera with the logsumexp, which MLX's op "
        "does not return; got mlx ({})",
        choice.reason);
  }
  return ours_of(call, choice);
}

Choice explain_on_metal(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    const MetalBackend& backend) {
  auto call = make_call(Q, K, V, options, mx::Device::cpu);
  call.metal = backend;
  return choose(call, Trials::known);
}

Choice explain_attention(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s) {
  return choose(make_call(Q, K, V, options, s), Trials::known);
}

} // namespace tessera
