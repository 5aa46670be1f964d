#include "api/metal/proof.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <variant>

#include "api/arguments.h"
#include "api/node/attention_node.h"
#include "api/warning.h"
#include "check/check.h"
#include "plan/metal/planner.h"

namespace tessera {

namespace {

using metal::Pass;

std::vector<Pass> passes_of(Direction direction, const metal::Call& call) {
  return direction == Direction::forward
      ? metal::forward_passes(call)
      : metal::backward_passes(metal::gradients_of(call.problem));
}

// None where one is refused: that is told elsewhere.
std::vector<metal::Plan> plans_of(
    const MetalBackend& backend,
    const Problem& problem,
    const AttentionSettings& settings,
    Direction direction) {
  std::vector<metal::Plan> plans;
  const auto call = metal_call(problem, settings, backend);
  for (const auto pass : passes_of(direction, call)) {
    const auto planned = metal::plan_for(call, pass);
    if (!std::holds_alternative<metal::Plan>(planned)) {
      return {};
    }
    plans.push_back(std::get<metal::Plan>(planned));
  }
  return plans;
}

// The results that show whether a pass is right.
std::vector<std::string> results_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
    case Pass::combine:
      return {"O", "L"};
    case Pass::dq:
      return {"dQ"};
    case Pass::dkv:
      return {"dK", "dV"};
    case Pass::dbias:
      return {"dbias"};
    case Pass::dslopes:
      return {"dslopes"};
    case Pass::dsinks:
      return {"dsinks"};
    case Pass::delta:
      break;
  }
  return {"dQ", "dK"};
}

// A small problem of the same plans.
class Trial {
 public:
  explicit Trial(const metal::Call& call)
      : like_(call.problem),
        tiles_(call.tiles),
        runs_(metal::takes_runs(call)),
        ours_(cases::random_arrays(small(), true)),
        plain_(ours_) {
    ours_.options.block_size = call.block_size;
    if (like_.features.segments) {
      add_segments();
    }
  }

  // By the kernels of the stream's device.
  std::vector<cases::ResultError> errors(
      mx::Stream stream, Direction direction) const {
    const bool backward = direction == Direction::backward;
    return cases::errors_of(
        plain_,
        [&](const mx::array& dO) -> std::optional<cases::Values> {
          if (!backward) {
            const auto outputs = unproven(ours_, stream, tiles_);
            return cases::Values{outputs[0], {}, outputs[1]};
          }
          return cases::differentiate(
              ours_,
              [&](const cases::Arrays& a) {
                return unproven(a, stream, tiles_)[0];
              },
              dO);
        },
        backward);
  }

 private:
  AttentionCase small() const {
    const auto& f = like_.features;
    AttentionCase c;
    c.dtype = like_.dtype == Dtype::float32 ? mx::float32
        : like_.dtype == Dtype::float16     ? mx::float16
                                            : mx::bfloat16;
    c.B = 2;
    c.Hq = 2;
    c.Hkv = 1;
    c.Nq = metal::packs_rows(like_)        ? 5
        : like_.Nq <= metal::short_queries ? 30
                                           : 100;
    c.Nk = runs_ ? 300 : 130; // two runs, and a last tile that is cut
    c.D = like_.D;
    c.Dv = like_.Dv;
    c.causal = like_.causal;
    const auto side_of = [](int bound, int near) {
      return bound == unbounded ? std::nullopt : std::optional(near);
    };
    if (like_.left != unbounded || like_.right != unbounded) {
      c.window = Window{side_of(like_.left, 40), side_of(like_.right, 9)};
    }
    c.chunk = like_.chunk > 0 ? std::optional(48) : std::nullopt;
    c.prefix = f.prefix ? std::optional(11) : std::nullopt;
    c.softcap = f.softcap ? std::optional(2.0f) : std::nullopt;
    c.alibi = f.alibi;
    c.sinks = f.sinks;
    c.bias = f.bias ? "1xHxNxN" : "";
    c.mask = f.mask ? "Bx1xNxN" : "";
    if (like_.block_rows > 0) {
      c.blocks = BlockSides{24, 24};
    }
    c.dropout = f.dropout ? 0.25f : 0.0f;
    return c;
  }

  // Three documents of the keys; the queries are the last of the positions.
  void add_segments() {
    const auto& c = ours_.attention;
    std::vector<int> k(static_cast<std::size_t>(c.Nk));
    for (int j = 0; j < c.Nk; ++j) {
      k[static_cast<std::size_t>(j)] = 3 * j / c.Nk;
    }
    const std::vector<int> q(k.end() - c.Nq, k.end());
    std::vector<std::uint8_t> same;
    for (const int a : q) {
      for (const int b : k) {
        same.push_back(a == b);
      }
    }
    const auto ids = [&](const std::vector<int>& of) {
      const int N = static_cast<int>(of.size());
      return mx::broadcast_to(mx::array(of.data(), {1, N}), {c.B, N});
    };
    ours_.options.segments = Segments{ids(q), ids(k)};
    // The formulas know masks alone.
    const mx::array keep(same.begin(), {1, 1, c.Nq, c.Nk}, mx::bool_);
    auto& mask = plain_.options.mask;
    mask = mask ? mx::logical_and(*mask, keep, mx::Device::cpu) : keep;
  }

  const Problem& like_;
  const metal::Tiles tiles_;
  const bool runs_;
  cases::Arrays ours_;
  cases::Arrays plain_;
};

// What is wrong with the results of a pass; "" where nothing is.
std::string wrong(Pass pass, std::vector<cases::ResultError> errors) {
  const auto names = results_of(pass);
  std::erase_if(errors, [&](const auto& error) {
    return std::ranges::find(names, error.name) == names.end();
  });
  return cases::wrong(errors);
}

Proofs::Found tried(
    const std::vector<metal::Plan>& plans,
    mx::Stream stream,
    const metal::Call& call,
    Direction direction) {
  Proofs::Found found;
  try {
    const auto errors = Trial(call).errors(stream, direction);
    for (const auto& plan : plans) {
      found.emplace_back(plan, wrong(plan.pass, errors));
    }
  } catch (const std::exception& error) {
    for (const auto& plan : plans) {
      found.emplace_back(plan, error.what());
    }
  }
  return found;
}

void warn_of(const Proofs::Found& found, metal::Family family) {
  for (const auto& [plan, what] : found) {
    if (!what.empty()) {
      warn(fmt::format(
          "tessera's {} kernel (D {}, Dv {}) is wrong on this GPU ({}) and is "
          "not used any more: {}; `tessera doctor` writes a report to send",
          metal::name(plan.pass),
          plan.D,
          plan.Dv,
          metal::name(family),
          what));
      return; // one trial, one warning
    }
  }
}

} // namespace

std::vector<mx::array> unproven(
    const cases::Arrays& arrays, mx::Stream stream, const metal::Tiles& tiles) {
  auto arguments =
      make_arguments(arrays.Q, arrays.K, arrays.V, arrays.options, stream);
  arguments.settings.route = Route::trial;
  arguments.settings.tiles = tiles;
  return AttentionForward(stream, arguments.settings).apply(arguments.inputs);
}

std::string Proofs::find(const std::vector<metal::Plan>& plans) const {
  for (const auto& plan : plans) {
    const auto at = tried_.find(plan);
    if (at != tried_.end() && !at->second.empty()) {
      return at->second;
    }
  }
  return "";
}

std::string Proofs::known(const std::vector<metal::Plan>& plans) const {
  std::lock_guard lock(mutex_);
  return find(plans);
}

std::string Proofs::why_not(
    const std::vector<metal::Plan>& plans,
    const std::function<Found()>& trial) {
  std::lock_guard lock(mutex_);
  const auto is_tried = [&](const metal::Plan& plan) {
    return tried_.contains(plan);
  };
  const auto before = find(plans);
  if (!before.empty() || std::ranges::all_of(plans, is_tried)) {
    return before;
  }
  for (auto& [plan, what] : trial()) {
    tried_.insert_or_assign(plan, what);
  }
  return find(plans);
}

std::string why_not_trusted(
    const MetalBackend& backend,
    mx::Stream stream,
    const Problem& problem,
    const AttentionSettings& settings,
    Direction direction) {
  if (!backend.proofs || settings.route != Route::device) {
    return "";
  }
  const auto plans = plans_of(backend, problem, settings, direction);
  return backend.proofs->why_not(plans, [&] {
    auto found =
        tried(plans, stream, metal_call(problem, settings, backend), direction);
    warn_of(found, backend.family);
    return found;
  });
}

std::string known_not_trusted(
    const MetalBackend& backend,
    const Problem& problem,
    const AttentionSettings& settings,
    Direction direction) {
  return backend.proofs
      ? backend.proofs->known(plans_of(backend, problem, settings, direction))
      : "";
}

} // namespace tessera
