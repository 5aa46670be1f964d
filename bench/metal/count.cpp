#include "count.h"

#include <mlx/mlx.h>

#include "api/metal/executor_launcher.h"
#include "api/metal/run.h"
#include "backend/metal/schedule.h"
#include "plan/metal/planner.h"
#include "tessera/error.h"

namespace tessera::bench {

namespace {

// Threadgroups that share a launch: more rows than the schedule takes for few
// queries.
int threadgroups(const metal::Plan& plan) {
  return metal::few_queries / plan.rows_of_threadgroup() + 1;
}

Problem problem_of(const metal::Plan& plan, int along) {
  const int rows = threadgroups(plan) * plan.rows_of_threadgroup();
  const bool keys_in_rows = plan.pass == metal::Pass::dkv;
  Problem p;
  p.dtype = plan.dtype;
  p.B = p.Hq = p.Hkv = 1;
  p.Nq = keys_in_rows ? along : rows;
  p.Nk = keys_in_rows ? rows : along;
  p.D = plan.D;
  p.Dv = plan.Dv;
  return p;
}

// Operands of the pass by their letters. Their values do not matter: without a
// mask nothing branches on them.
NamedArrays operands(const Problem& p) {
  const auto dtype = p.dtype == Dtype::float32 ? mx::float32
      : p.dtype == Dtype::float16              ? mx::float16
                                               : mx::bfloat16;
  NamedArrays arrays;
  const auto add = [&](const char* name, mx::Shape shape, mx::Dtype type) {
    arrays.insert_or_assign(name, mx::full(std::move(shape), 0.1f, type));
  };
  add("Q", {1, 1, p.Nq, p.D}, dtype);
  add("K", {1, 1, p.Nk, p.D}, dtype);
  add("V", {1, 1, p.Nk, p.Dv}, dtype);
  add("dO", {1, 1, p.Nq, p.Dv}, dtype);
  add("L", {1, 1, p.Nq}, mx::float32);
  add("D", {1, 1, p.Nq}, mx::float32);
  for (auto& [name, array] : arrays) {
    array = mx::contiguous(array, false, mx::Device::cpu);
    array.eval();
  }
  return arrays;
}

// The launch that the schedule makes of the problem, with `plan` in place of
// the one it prefers.
metal::Launch launch_of(
    const metal::Plan& plan, const Problem& problem, const NamedArrays& given) {
  metal::Call call;
  call.problem = problem;
  call.seconds = 1e9;
  for (const auto& [name, array] : given) {
    call.arrays.push_back(described(name, array));
  }
  const auto steps = metal::steps_of(call, plan.pass);
  if (const auto* refusal = std::get_if<Refusal>(&steps)) {
    fail("metal", "expected a launch; got {}", refusal->reason);
  }
  auto launch = std::get<metal::Launch>(
      std::get<std::vector<metal::Step>>(steps).front());
  const auto spills = [](const metal::Plan& p) {
    return p.sums == metal::Home::device;
  };
  if (spills(plan) && !spills(launch.plan)) {
    launch.outputs.push_back({"spill", metal::Element::float32, {}});
  } else if (spills(launch.plan) && !spills(plan)) {
    launch.outputs.pop_back();
  }
  if (spills(plan)) {
    launch.outputs.back().shape = {
        1,
        1,
        threadgroups(plan),
        plan.simdgroups * resources(plan).spilled_floats};
  }
  launch.plan = plan;
  launch.grid = {threadgroups(plan) * plan.threads(), 1, 1};
  launch.threadgroup = {plan.threads(), 1, 1};
  return launch;
}

} // namespace

metal::Counts count_launch(const metal::Plan& plan, int along) {
  const auto given = operands(problem_of(plan, along));
  const auto launch = launch_of(plan, problem_of(plan, along), given);
  // A published plan may keep more in threadgroup memory here than where it
  // comes from; what is counted does not change.
  test::ExecutorLauncher launcher({.threadgroup_memory_limit = 1 << 17});
  run({launch}, given, {}, launcher);
  return launcher.executed.at(0).second;
}

metal::Cost count(const metal::Plan& plan) {
  const auto one = count_launch(plan, plan.columns);
  const auto two = count_launch(plan, 2 * plan.columns);
  const double blocks = threadgroups(plan) * plan.rows_of_threadgroup() / 8.0 *
      plan.columns / 8.0;
  const auto more = [&](auto read) {
    return static_cast<double>(read(two) - read(one)) / blocks;
  };
  using C = metal::Counts;
  return {
      more([](const C& c) { return c.matrix_operations; }),
      more([](const C& c) { return c.exponentials; }),
      more([](const C& c) { return c.multiply_adds() + c.float_divisions; }),
      more([](const C& c) { return c.shuffles + c.reductions; }),
      more([](const C& c) {
        return c.device_bytes_loaded + c.device_bytes_stored;
      }),
      more([](const C& c) {
        return c.threadgroup_bytes_loaded + c.threadgroup_bytes_stored;
      }),
      more([](const C& c) { return c.threadgroup_barriers; }) *
          plan.simdgroups};
}

} // namespace tessera::bench
