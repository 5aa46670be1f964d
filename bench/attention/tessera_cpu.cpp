#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <variant>

#include "api/problem.h"
#include "backend/cpu/launch.h"
#include "check/arrays.h"
#include "check/case.h"
#include "contender.h"
#include "tessera/error.h"

// The kernels alone: no graph, no allocation, the planner's answer made before.
namespace tessera::bench {

namespace {

cpu::View view_of(const mx::array& x) {
  cpu::View view;
  view.data = const_cast<std::byte*>(x.data<std::byte>());
  view.dtype = dtype_of(x.dtype()).value_or(Dtype::float32);
  view.strides[3] = 1;
  for (std::size_t axis = 0; axis < x.ndim(); ++axis) {
    view.strides[axis] = x.strides()[axis];
  }
  return view;
}

// Everything that the three passes read and write.
class Operands {
 public:
  explicit Operands(const cases::Arrays& arrays) : c_(arrays.attention) {
    const auto& o = arrays.options;
    set(Operand::Q, arrays.Q);
    set(Operand::K, arrays.K);
    set(Operand::V, arrays.V);
    set(Operand::dO, arrays.dO);
    set(Operand::dL, mx::zeros({c_.B, c_.Hq, c_.Nq}));
    const mx::Shape scores = {c_.B, c_.Hq, c_.Nq, c_.Nk};
    set(Operand::mask, o.mask, scores);
    set(Operand::bias, o.bias, scores);
    set(Operand::slopes, o.alibi, {c_.B, c_.Hq});
    set(Operand::sinks, o.sinks, {c_.Hq});
    set(Operand::prefix, o.prefix, {c_.B});
    if (o.segments) {
      set(Operand::segments_q, o.segments->q);
      set(Operand::segments_k, o.segments->k);
    }
    if (o.seed) {
      set(Operand::seed, mx::array({7, 0}, mx::uint32));
    }
    outputs(o);
  }

  const std::array<cpu::View, operand_count>& views() const {
    return views_;
  }

 private:
  void outputs(const AttentionOptions& o) {
    const auto problem = cases::problem_of(c_, Pass::forward);
    for (const auto operand :
         {Operand::O, Operand::dQ, Operand::dK, Operand::dV}) {
      const auto s = shape(operand, problem);
      set(operand, mx::zeros({s[0], s[1], s[2], s[3]}, c_.dtype));
    }
    set(Operand::L, mx::zeros({c_.B, c_.Hq, c_.Nq}));
    // Gradients that are summed over an axis have stride 0 along it.
    if (o.bias) {
      gradient(Operand::dbias, *o.bias, {c_.B, c_.Hq, c_.Nq, c_.Nk});
    }
    if (o.alibi) {
      gradient(Operand::dslopes, *o.alibi, {c_.B, c_.Hq});
    }
    if (o.sinks) {
      gradient(Operand::dsinks, *o.sinks, {c_.Hq});
    }
  }

  // An array of its own: whoever writes it shares it with nobody.
  void gradient(Operand operand, const mx::array& of, const mx::Shape& whole) {
    auto memory = mx::contiguous(mx::add(of, mx::array(0.0f, of.dtype())));
    mx::eval(memory);
    set(operand, mx::broadcast_to(memory, whole));
  }
  void set(
      Operand operand,
      const std::optional<mx::array>& x,
      const mx::Shape& whole) {
    if (x) {
      set(operand, mx::broadcast_to(*x, whole));
    }
  }
  void set(Operand operand, mx::array x) {
    mx::eval(x);
    views_[slot(operand)] = view_of(x);
    arrays_.push_back(x);
  }

  AttentionCase c_;
  std::vector<mx::array> arrays_;
  std::array<cpu::View, operand_count> views_{};
};

struct Call {
  std::unique_ptr<Operands> operands;
  std::vector<cpu::Task> tasks;
  std::vector<std::byte> workspace;

  void run(std::size_t task) {
    cpu::run(tasks[task], workspace.data());
  }
};

cpu::Task task_of(
    const AttentionCase& c,
    Pass pass,
    const Setting& setting,
    const Operands& operands) {
  cpu::Task task;
  task.problem = cases::problem_of(c, pass);
  const auto planned = setting.blocks.rows == 0
      ? make_plan(task.problem, setting.device)
      : make_plan(task.problem, setting.device, setting.blocks);
  if (const auto* refusal = std::get_if<Refusal>(&planned)) {
    reject("bench", "{}", refusal->reason);
  }
  task.plan = std::get<Plan>(planned);
  task.numbers.scale = 1.0f / std::sqrt(static_cast<float>(c.D));
  task.numbers.softcap = c.softcap.value_or(0.0f);
  task.numbers.dropout = c.dropout;
  task.operands = operands.views();
  return task;
}

} // namespace

std::vector<Contender> tessera_cpu(
    const AttentionCase& c, const Setting& setting) {
  const auto arrays = cases::random_arrays(c, false);
  const double pairs = cases::seen_pairs(arrays);
  const auto call = std::make_shared<Call>();
  call->operands = std::make_unique<Operands>(arrays);
  // Two products forward; dV, dP, dQ, dK and S again backward; of a bias its
  // gradient alone, for which S and dP are made again.
  std::vector<std::pair<Pass, double>> passes = {
      {Pass::forward, 1.0 * c.D + c.Dv},
      {Pass::backward, 3.0 * c.D + 2.0 * c.Dv}};
  if (!c.bias.empty()) {
    passes.emplace_back(Pass::dbias, 1.0 * c.D + c.Dv);
  }
  std::vector<Contender> contenders;
  for (std::size_t i = 0; i < passes.size(); ++i) {
    const auto [pass, features] = passes[i];
    call->tasks.push_back(task_of(c, pass, setting, *call->operands));
    call->workspace.resize(std::max(
        call->workspace.size(), cpu::workspace_bytes(call->tasks.back())));
    const char* name = pass == Pass::forward ? "forward"
        : pass == Pass::backward             ? "backward"
                                             : "dbias";
    contenders.push_back({name, 2 * features * pairs, [=] {
                            call->run(i);
                          }});
  }
  call->run(0); // backward reads O and L
  return contenders;
}

} // namespace tessera::bench
