#pragma once

#include <cstddef>
#include <stdexcept>
#include <variant>
#include <vector>

#include "backend/cpu/case.h"
#include "backend/cpu/launch.h"
#include "plan/planner.h"
#include "tolerance.h"

// Runs a case on the CPU backend.
namespace tessera::test {

enum class Kind { real, byte, word };

inline Kind kind(Operand operand) {
  switch (operand) {
    case Operand::mask:
    case Operand::blocks:
      return Kind::byte;
    case Operand::segments_q:
    case Operand::segments_k:
    case Operand::prefix:
    case Operand::seed:
      return Kind::word;
    default:
      return Kind::real;
  }
}

// An operand with memory of its own, NaN all over at first, also between its
// elements; what is never written stays so.
class Tensor {
 public:
  Tensor(
      Kind kind,
      Dtype dtype,
      const Shape& whole,
      const Shape& own,
      Layout layout)
      : kind_(kind), whole_(whole), own_(own) {
    const std::int64_t h = own[1], n = own[2], d = own[3], wide = d + 3;
    view_.dtype = dtype;
    switch (layout) {
      case Layout::contiguous:
        view_.strides = {h * n * d, n * d, d, 1};
        break;
      case Layout::heads_inside:
        view_.strides = {n * h * d, d, h * d, 1};
        break;
      case Layout::padded:
        view_.strides = {h * n * wide, n * wide, wide, 1};
        break;
      case Layout::transposed:
        view_.strides = {h * n * d, n * d, 1, n};
        break;
    }
    const auto count = static_cast<std::size_t>(own[0] * h * n * wide);
    memory_.resize(count * size() + 1);
    for (std::size_t e = 0; e < count; ++e) {
      put(memory_.data() + e * size(), kind_ == Kind::real ? NAN : poison);
    }
  }

  cpu::View view() {
    cpu::View view = view_;
    view.data = memory_.data();
    for (std::size_t axis = 0; axis < own_.size(); ++axis) {
      if (own_[axis] != whole_[axis]) {
        view.strides[axis] = 0;
      }
    }
    return view;
  }

  void set(const Values& values) {
    each([&](std::byte* at, std::size_t e) { put(at, values[e]); });
  }
  Values get() { // of floats
    Values values;
    each([&](std::byte* at, std::size_t) {
      values.push_back(read(at, view_.dtype));
    });
    return values;
  }

  // Whether what lies between the elements is as it was.
  bool gaps_are_untouched() const {
    Tensor rest = *this;
    rest.each([&](std::byte* at, std::size_t) { rest.put(at, NAN); });
    for (std::size_t at = 0; at + size() <= memory_.size(); at += size()) {
      if (!std::isnan(read(rest.memory_.data() + at, view_.dtype))) {
        return false;
      }
    }
    return true;
  }

 private:
  static constexpr double poison = 77; // of what has no NaN

  std::size_t size() const {
    return kind_ == Kind::real ? size_of(view_.dtype)
        : kind_ == Kind::byte  ? 1
                               : 4;
  }
  void put(std::byte* at, double x) const {
    if (kind_ == Kind::real) {
      write(at, x, view_.dtype);
      return;
    }
    // Of signed and of unsigned numbers the same bits.
    const auto bits = static_cast<std::uint32_t>(static_cast<std::int64_t>(x));
    if (kind_ == Kind::word) {
      std::memcpy(at, &bits, 4);
    } else {
      *at = static_cast<std::byte>(bits);
    }
  }
  template <class Body>
  void each(Body body) {
    std::size_t e = 0;
    for (int b = 0; b < own_[0]; ++b) {
      for (int h = 0; h < own_[1]; ++h) {
        for (int n = 0; n < own_[2]; ++n) {
          for (int d = 0; d < own_[3]; ++d) {
            const auto at = view_.offset(b, h, n, d);
            body(memory_.data() + static_cast<std::size_t>(at) * size(), e++);
          }
        }
      }
    }
  }

  Kind kind_;
  Shape whole_;
  Shape own_;
  cpu::View view_;
  std::vector<std::byte> memory_;
};

inline Device device_with(Isa isa, int threads = 1) {
  Device device = cpu::this_device();
  device.isa = isa;
  device.threads = threads;
  return device;
}

// Every instruction set that the machine has.
inline std::vector<Isa> isas() {
  return cpu::supported_isas();
}

// Whether every pass of a problem takes blocks of this size.
inline bool is_legal(Problem problem, Isa isa, int block_size) {
  for (const Pass pass : {Pass::forward, Pass::backward}) {
    problem.pass = pass;
    const auto planned = make_plan(problem, device_with(isa), block_size);
    if (std::holds_alternative<Refusal>(planned)) {
      return false;
    }
  }
  return true;
}

// The gradients that a run is asked for.
using Wanted = std::vector<Operand>;

inline const Wanted all_gradients = {
    Operand::dQ,
    Operand::dK,
    Operand::dV,
    Operand::dbias,
    Operand::dslopes,
    Operand::dsinks};

// The passes of a case.
class Computation {
 public:
  Computation(
      const Case& c, const Inputs& in, const Device& device, int block_size = 0)
      : case_(c), device_(device), block_size_(block_size) {
    for (std::size_t i = 0; i < operand_count; ++i) {
      tensors_.push_back(tensor(static_cast<Operand>(i)));
    }
    at(Operand::Q).set(in.Q);
    at(Operand::K).set(in.K);
    at(Operand::V).set(in.V);
    at(Operand::dO).set(in.dO);
    at(Operand::dL).set(in.dL);
    set_features(in);
  }

  // A gradient that is not wanted, or that the case has not, is empty.
  Outputs run(const Wanted& wanted = all_gradients) {
    wanted_.clear();
    for (const Operand operand : wanted) {
      if (has(operand)) {
        wanted_.push_back(operand);
      }
    }
    pass(Pass::forward);
    const auto of_dbias = wants(Operand::dbias) ? 1u : 0u;
    if (wanted_.size() > of_dbias) {
      pass(Pass::backward);
    }
    if (of_dbias > 0) {
      pass(Pass::dbias);
    }
    Outputs out;
    for (const auto& [operand, values] : results) {
      if (is_forward(operand) || wants(operand)) {
        out.*values = at(operand).get();
      }
    }
    return out;
  }

  // Whether the results kept to their own elements.
  bool gaps_are_untouched() {
    for (const auto& [operand, values] : results) {
      if (!at(operand).gaps_are_untouched()) {
        return false;
      }
    }
    return true;
  }

 private:
  Tensor& at(Operand operand) {
    return tensors_[slot(operand)];
  }
  static bool is_forward(Operand operand) {
    return operand == Operand::O || operand == Operand::L;
  }
  bool wants(Operand operand) const {
    return std::find(wanted_.begin(), wanted_.end(), operand) != wanted_.end();
  }

  // Whether the case has an operand; E is the backward pass's own.
  bool has(Operand operand) const {
    const Features& features = case_.problem.features;
    switch (operand) {
      case Operand::E:
        return false;
      case Operand::bias:
      case Operand::dbias:
        return features.bias;
      case Operand::slopes:
      case Operand::dslopes:
        return features.alibi;
      case Operand::sinks:
      case Operand::dsinks:
        return features.sinks;
      case Operand::mask:
        return features.mask;
      case Operand::blocks:
        return case_.problem.block_rows > 0;
      case Operand::segments_q:
      case Operand::segments_k:
        return features.segments;
      case Operand::prefix:
        return features.prefix;
      case Operand::seed:
        return features.dropout;
      default:
        return true;
    }
  }

  // How an array lies in memory. A result is contiguous along its last axis.
  Extra extra(Operand operand) const {
    const Dtype dtype = case_.problem.dtype;
    const bool last_is_contiguous = case_.layout != Layout::transposed;
    switch (operand) {
      case Operand::bias:
        return case_.bias;
      case Operand::slopes:
        return case_.slopes;
      case Operand::mask:
        return case_.mask;
      case Operand::blocks:
        return case_.blocks;
      case Operand::sinks:
      case Operand::dsinks:
        return {{}, Layout::contiguous, case_.sinks.dtype};
      case Operand::dbias:
        return {case_.bias.single, Layout::contiguous, case_.bias.dtype};
      case Operand::dslopes:
        return {case_.slopes.single, Layout::contiguous, case_.slopes.dtype};
      case Operand::Q:
      case Operand::K:
      case Operand::V:
      case Operand::dO:
        return {{}, case_.layout, dtype};
      case Operand::O:
      case Operand::dQ:
      case Operand::dK:
      case Operand::dV:
        return {
            {}, last_is_contiguous ? case_.layout : Layout::contiguous, dtype};
      default:
        return {};
    }
  }

  Tensor tensor(Operand operand) const {
    const Problem& p = case_.problem;
    const Extra lies = extra(operand);
    if (!has(operand)) {
      return {kind(operand), lies.dtype, {}, {}, Layout::contiguous};
    }
    return {
        kind(operand),
        lies.dtype,
        whole_shape(operand, p),
        own_shape(operand, p, lies),
        lies.layout};
  }

  void set_features(const Inputs& in) {
    const auto set = [&](Operand operand, const Values& values) {
      if (has(operand)) {
        at(operand).set(values);
      }
    };
    set(Operand::bias, in.bias);
    set(Operand::slopes, in.slopes);
    set(Operand::sinks, in.sinks);
    set(Operand::mask, in.mask);
    set(Operand::blocks, in.blocks);
    set(Operand::segments_q, in.segments_q);
    set(Operand::segments_k, in.segments_k);
    set(Operand::prefix, in.prefix);
    set(Operand::seed,
        {static_cast<double>(in.seed & 0xffffffffu),
         static_cast<double>(in.seed >> 32)});
  }

  // On as many threads as the device has, however small the problem.
  cpu::Task task(Pass pass) {
    cpu::Task task;
    task.problem = case_.problem;
    task.problem.pass = pass;
    const auto planned = make_plan(task.problem, device_, block_size_);
    if (const auto* refusal = std::get_if<Refusal>(&planned)) {
      throw std::invalid_argument(refusal->reason);
    }
    task.plan = std::get<Plan>(planned);
    task.plan.threads = device_.threads;
    const Scalars scalars = case_.scalars();
    task.numbers = {
        static_cast<float>(scalars.scale),
        static_cast<float>(scalars.softcap),
        static_cast<float>(scalars.dropout)};
    for (std::size_t i = 0; i < operand_count; ++i) {
      const auto operand = static_cast<Operand>(i);
      if (has(operand) && (!is_gradient(operand) || wants(operand))) {
        task.operands[i] = at(operand).view();
      }
    }
    return task;
  }
  static bool is_gradient(Operand operand) {
    return std::find(all_gradients.begin(), all_gradients.end(), operand) !=
        all_gradients.end();
  }

  void pass(Pass pass) {
    const auto t = task(pass);
    std::vector<std::byte> workspace(cpu::workspace_bytes(t), dirt);
    cpu::run(t, workspace.data());
  }
  // Four of it are a NaN: a buffer that is read before it is written shows.
  static constexpr std::byte dirt{0xff};

  Case case_;
  Device device_;
  int block_size_;
  std::vector<Tensor> tensors_;
  Wanted wanted_;
};

} // namespace tessera::test
