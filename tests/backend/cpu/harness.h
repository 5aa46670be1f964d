#pragma once

#include <cmath>
#include <cstddef>
#include <random>
#include <variant>
#include <vector>

#include "backend/cpu/launch.h"
#include "dtype.h"
#include "plan/planner.h"
#include "reference.h"

namespace tessera::test {

// How an operand lies in memory.
enum class Layout {
  contiguous,
  heads_inside, // [batch, length, heads, features], as a projection leaves it
  padded,       // each row followed by 3 elements that are not its own
  transposed,   // features outermost of a head: the last axis is not contiguous
};

struct Case {
  Problem problem;
  double scale = 0;     // 0: 1 / sqrt(D)
  double amplitude = 1; // of Q
  Layout layout = Layout::contiguous;
  unsigned seed = 1;

  float factor() const {
    return static_cast<float>(scale != 0 ? scale : 1 / std::sqrt(problem.D));
  }
};

// An operand with memory of its own. What lies between its elements is NaN.
class Tensor {
 public:
  Tensor(OperandShape shape, Dtype dtype, Layout layout) : shape_(shape) {
    const std::int64_t h = shape[1], n = shape[2], d = shape[3], wide = d + 3;
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
    const auto elements = static_cast<std::size_t>(shape[0] * h * n * wide);
    memory_.resize(elements * size_of(dtype) + 1);
    for (std::size_t e = 0; e < elements; ++e) {
      write(memory_.data() + e * size_of(dtype), NAN, dtype);
    }
  }

  cpu::View view() {
    view_.data = memory_.data();
    return view_;
  }

  void set(const Values& values) {
    each([&](std::byte* at, std::size_t e) {
      write(at, values[e], view_.dtype);
    });
  }
  Values get() {
    Values values;
    each([&](std::byte* at, std::size_t) {
      values.push_back(read(at, view_.dtype));
    });
    return values;
  }

 private:
  template <class Body>
  void each(Body body) {
    std::size_t e = 0;
    for (int b = 0; b < shape_[0]; ++b) {
      for (int h = 0; h < shape_[1]; ++h) {
        for (int n = 0; n < shape_[2]; ++n) {
          for (int d = 0; d < shape_[3]; ++d) {
            const auto at = b * view_.strides[0] + h * view_.strides[1] +
                n * view_.strides[2] + d * view_.strides[3];
            body(
                memory_.data() +
                    static_cast<std::size_t>(at) * size_of(view_.dtype),
                e++);
          }
        }
      }
    }
  }

  OperandShape shape_;
  cpu::View view_;
  std::vector<std::byte> memory_;
};

inline std::size_t elements(OperandShape shape) {
  std::size_t count = 1;
  for (const int side : shape) {
    count *= static_cast<std::size_t>(side);
  }
  return count;
}

// Numbers that the case's dtype has, normally distributed; Q times amplitude.
inline Inputs random_inputs(const Case& c) {
  std::mt19937 generator(c.seed);
  std::normal_distribution<double> normal;
  const auto draw = [&](Operand operand, Dtype dtype, double amplitude) {
    Values values(elements(shape(operand, c.problem)));
    for (auto& x : values) {
      x = rounded(normal(generator) * amplitude, dtype);
    }
    return values;
  };
  const Dtype dtype = c.problem.dtype;
  Inputs in;
  in.Q = draw(Operand::Q, dtype, c.amplitude);
  in.K = draw(Operand::K, dtype, 1);
  in.V = draw(Operand::V, dtype, 1);
  in.dO = draw(Operand::dO, dtype, 1);
  in.dL = draw(Operand::dL, Dtype::float32, 1);
  return in;
}

inline Device device_with(Isa isa, int threads = 1) {
  Device device = cpu::this_device();
  device.isa = isa;
  device.threads = threads;
  return device;
}

// Every instruction set that the machine has.
inline std::vector<Isa> isas() {
  std::vector<Isa> all;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (isa <= cpu::this_device().isa) {
      all.push_back(isa);
    }
  }
  return all;
}

// The three passes of a case.
class Computation {
 public:
  Computation(
      const Case& c, const Inputs& in, const Device& device, int block_size = 0)
      : case_(c), device_(device), block_size_(block_size) {
    for (std::size_t i = 0; i < operand_count; ++i) {
      const auto operand = static_cast<Operand>(i);
      const bool strided = operand == Operand::Q || operand == Operand::K ||
          operand == Operand::V || operand == Operand::dO;
      tensors_.emplace_back(
          shape(operand, c.problem),
          is_row_vector(operand) ? Dtype::float32 : c.problem.dtype,
          strided ? c.layout : Layout::contiguous);
    }
    at(Operand::Q).set(in.Q);
    at(Operand::K).set(in.K);
    at(Operand::V).set(in.V);
    at(Operand::dO).set(in.dO);
    at(Operand::dL).set(in.dL);
  }

  Outputs run() {
    pass(Pass::forward);
    cpu::run_row_dots(task(Pass::dQ));
    pass(Pass::dQ);
    pass(Pass::dKdV);
    Outputs out;
    out.O = at(Operand::O).get();
    out.L = at(Operand::L).get();
    out.dQ = at(Operand::dQ).get();
    out.dK = at(Operand::dK).get();
    out.dV = at(Operand::dV).get();
    return out;
  }

 private:
  Tensor& at(Operand operand) {
    return tensors_[slot(operand)];
  }

  // On as many threads as the device has, however small the problem.
  cpu::Task task(Pass pass) {
    Problem problem = case_.problem;
    problem.pass = pass;
    auto plan = std::get<Plan>(make_plan(problem, device_, block_size_));
    plan.threads = device_.threads;
    auto task = cpu::make_task(problem, plan, case_.factor());
    for (std::size_t i = 0; i < operand_count; ++i) {
      task.operands[i] = tensors_[i].view();
    }
    return task;
  }

  void pass(Pass pass) {
    const auto t = task(pass);
    std::vector<std::byte> workspace(cpu::workspace_bytes(t));
    cpu::run(t, workspace.data());
  }

  Case case_;
  Device device_;
  int block_size_;
  std::vector<Tensor> tensors_;
};

} // namespace tessera::test
