#include "backend/cpu/few.h"

#include "plan/workspace.h"

namespace tessera::cpu {

namespace {

std::size_t product(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

} // namespace

FewWorkspace few_workspace(const Problem& problem) {
  const int rows = problem.group() * problem.Nq;
  const int D = round_up(problem.D, few_alignment);
  const int Dv = round_up(problem.Dv, few_alignment);
  FewWorkspace w;
  w.K = w.Q + product(rows, D);
  w.V = w.K + product(few_strip, D);
  w.S = w.V + product(few_strip, Dv);
  w.O = w.S + product(rows, few_strip);
  w.state = w.O + product(rows, Dv);
  w.floats = w.state + product(round_up(rows, few_alignment), 2);
  return w;
}

int few_parts(const Problem& problem, const Plan& plan) {
  return (problem.Nk + plan.split - 1) / plan.split;
}

std::size_t few_part_floats(const Problem& problem) {
  return product(problem.group() * problem.Nq, 2 + problem.Dv);
}

} // namespace tessera::cpu
