#include "backend/metal/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "backend/metal/arrays.h"
#include "backend/metal/split.h"

namespace tessera::metal {

namespace {

// Writes the steps of one pass after the other.
class Schedule {
 public:
  explicit Schedule(const Call& call) : call_(call), p_(call.problem) {}

  // Appends a pass; gives why it cannot be.
  std::optional<Refusal> add(Pass pass) {
    const auto planned = plan_for(call_, pass);
    if (const auto* refusal = std::get_if<Refusal>(&planned)) {
      return *refusal;
    }
    const auto& plan = std::get<Plan>(planned);
    switch (pass) {
      case Pass::forward:
        if (plan.runs) {
          add_runs(plan);
        } else if (plan.packed) {
          push_few(plan, {}, {0, 1}, forward_results());
        } else {
          add_pieces(plan);
        }
        break;
      case Pass::delta:
      case Pass::dq:
      case Pass::dkv:
      case Pass::dbias:
        add_pieces(plan);
        break;
      case Pass::combine:
        break; // stands behind a forward in runs
      case Pass::dslopes: {
        const auto& slopes = *find(call_, "slopes");
        push_rows(
            plan,
            {row_vector(call_, "dslope_rows")},
            {{"dslopes", slopes.element, slopes.shape}},
            {p_.Hq, slopes.shape[0], 1});
        break;
      }
      case Pass::dsinks: {
        const auto& sinks = *find(call_, "sinks");
        push_rows(
            plan,
            operands(call_, {"sinks", "L", "D"}),
            {{"dsinks", sinks.element, sinks.shape}},
            {p_.Hq, 1, 1});
        break;
      }
    }
    return std::nullopt;
  }

  std::vector<Step> steps;

 private:
  void push(
      const Plan& plan,
      Part part,
      std::vector<Array> inputs,
      std::vector<Array> outputs,
      std::array<int, 3> threadgroups) {
    Launch launch;
    launch.plan = plan;
    launch.part = part;
    launch.name = fmt::format(
        "tessera_{}_{:016x}{}{}",
        name(plan.pass),
        std::hash<Plan>()(plan),
        part.begins ? "" : "_on",
        part.ends ? "" : "_open");
    launch.inputs = std::move(inputs);
    launch.outputs = std::move(outputs);
    launch.grid = {
        threadgroups[0] * plan.threads(), threadgroups[1], threadgroups[2]};
    launch.threadgroup = {plan.threads(), 1, 1};
    steps.emplace_back(std::move(launch));
  }

  // Of a kernel that goes over rows.
  void push_rows(
      const Plan& plan,
      std::vector<Array> inputs,
      std::vector<Array> outputs,
      std::array<int, 3> threadgroups) {
    inputs.push_back(layout_of(inputs));
    push(plan, {}, std::move(inputs), std::move(outputs), threadgroups);
  }

  // Joins `count` pieces of each of these, known by their names and a number.
  void join(
      std::vector<Array> wholes,
      const std::string& suffix,
      std::size_t count,
      int axis) {
    for (auto& whole : wholes) {
      std::vector<std::string> parts;
      for (std::size_t i = 0; count > 1 && i < count; ++i) {
        parts.push_back(fmt::format("{}{}/{}", whole.name, suffix, i));
      }
      if (!parts.empty()) {
        whole.key = whole.name + suffix;
        steps.emplace_back(Join{whole, std::move(parts), axis});
      }
    }
  }

  Work work(const Plan& plan) const {
    auto w = work_of(p_, plan);
    if (plan.pass == Pass::dbias) {
      const auto& shape = find(call_, "bias")->shape;
      const int down = shape[2] == 1 ? 1 : w.blocks;
      w.unit = 1;
      w.along = (shape[0] == 1 ? p_.B : 1) * (shape[1] == 1 ? p_.Hq : 1) *
          (shape[2] == 1 ? w.blocks : 1);
      w.flops *= w.along;
      w.simdgroups = across(plan);
      w.batches = shape[0];
      w.heads = shape[1];
      w.blocks = down;
    }
    return w;
  }

  // Threadgroups beside each other for a block of rows: tiles of a bias.
  int across(const Plan& plan) const {
    return plan.pass != Pass::dbias || find(call_, "bias")->shape[3] == 1
        ? 1
        : ceil_divide(p_.Nk, plan.columns);
  }

  // The length of the rows that a pass gives.
  int length(Pass pass) const {
    return pass == Pass::dkv  ? p_.Nk
        : pass == Pass::dbias ? find(call_, "bias")->shape[2]
                              : p_.Nq;
  }

  void add_pieces(const Plan& plan) {
    const auto whole = work(plan);
    const auto [batches, heads, blocks, parts] =
        cut(whole, call_.family, call_.seconds);
    // Keys: "O" for the whole, "O/0" for a batch piece, "O/0/1" for a head
    // piece of it, "O/0/1/2" for its rows. What is not cut has no number.
    const auto suffix = [](std::size_t count, std::size_t i) {
      return count > 1 ? fmt::format("/{}", i) : std::string();
    };
    const auto join_results =
        [&](Extent extent, const std::string& of, std::size_t count, int axis) {
          join(results(call_, plan.pass, extent), of, count, axis);
        };
    const int rows = length(plan.pass);
    for (std::size_t b = 0; b < batches.size(); ++b) {
      const int B = batches[b].size();
      const auto of_batch = suffix(batches.size(), b);
      for (std::size_t h = 0; h < heads.size(); ++h) {
        const auto of_head = of_batch + suffix(heads.size(), h);
        for (std::size_t k = 0; k < blocks.size(); ++k) {
          add_piece(
              plan,
              parts,
              {batches[b], heads[h], blocks[k]},
              of_head + suffix(blocks.size(), k));
        }
        join_results({B, heads[h].size(), rows}, of_head, blocks.size(), 2);
      }
      join_results({B, whole.heads, rows}, of_batch, heads.size(), 1);
    }
    join_results({whole.batches, whole.heads, rows}, "", batches.size(), 0);
  }

  struct Piece {
    Span batches;
    Span heads;
    Span blocks;
  };

  // The parts of one piece's loop, its results known by their names and
  // `suffix`.
  void add_piece(
      const Plan& plan,
      const std::vector<Along>& parts,
      const Piece& at,
      const std::string& suffix) {
    const int M = plan.rows_of_threadgroup();
    const Span rows =
        intersect({at.blocks.lo * M, at.blocks.hi * M}, {0, length(plan.pass)});
    const Extent extent = {at.batches.size(), at.heads.size(), rows.size()};
    const int wide = at.blocks.size() * across(plan);
    const auto carried = sums(call_, plan, extent, wide);
    const auto all_inputs = inputs_of(call_, plan.pass);
    for (std::size_t number = 0; number < parts.size(); ++number) {
      const auto& [group, range, part] = parts[number];
      auto inputs = all_inputs;
      inputs.push_back(piece(
          {at.blocks.lo,
           at.heads.lo,
           at.batches.lo,
           range.lo,
           range.hi,
           group.lo,
           group.hi}));
      if (!part.begins) {
        for (auto sum : carried) {
          sum.key = fmt::format("{}{}.{}", sum.name, suffix, number - 1);
          inputs.push_back(std::move(sum));
        }
      }
      std::vector<Array> outputs =
          part.ends ? results(call_, plan.pass, extent) : carried;
      for (auto& output : outputs) {
        output.key = output.name + suffix;
        if (!part.ends) {
          output.key += fmt::format(".{}", number);
          output.name += "_next";
        }
      }
      if (plan.sums == Home::device) {
        outputs.push_back(
            {"spill",
             Element::float32,
             {extent.batches,
              extent.heads,
              at.blocks.size(),
              plan.simdgroups * resources(plan).spilled_floats},
             {},
             fmt::format("spill{}.{}", suffix, number)});
      }
      push(
          plan,
          part,
          std::move(inputs),
          std::move(outputs),
          {wide, extent.heads, extent.batches});
    }
  }

  // What the runs of few queries give, of `count` runs.
  std::vector<Array> of_runs(int count) const {
    return {
        {"O_runs", Element::float32, {count, p_.B, p_.Hq, p_.Nq, p_.Dv}},
        {"L_runs", Element::float32, {count, p_.B, p_.Hq, p_.Nq}}};
  }

  // Few queries: all keys at once, or `runs` of them side by side.
  void push_few(
      const Plan& plan,
      const Runs& run,
      Span runs,
      std::vector<Array> outputs) {
    auto inputs = inputs_of(call_, Pass::forward);
    inputs.push_back(piece({0, 0, 0, 0, p_.Nk, run.keys, runs.lo}));
    const int blocks =
        ceil_divide(p_.group() * p_.Nq, plan.rows_of_threadgroup());
    push(
        plan,
        {},
        std::move(inputs),
        std::move(outputs),
        {blocks * runs.size(), p_.Hkv, p_.B});
  }

  std::vector<Array> forward_results() const {
    return results(call_, Pass::forward, {p_.B, p_.Hq, p_.Nq});
  }

  // As many runs a launch as its time lets, and what joins them.
  void add_runs(const Plan& plan) {
    const auto runs = runs_of(p_, plan, call_.family, call_.seconds);
    const auto pieces = chunks(runs.count, runs.together);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      auto outputs = of_runs(pieces[i].size());
      for (auto& output : outputs) {
        output.key =
            pieces.size() > 1 ? fmt::format("{}/{}", output.name, i) : "";
      }
      push_few(plan, runs, pieces[i], std::move(outputs));
    }
    join(of_runs(runs.count), "", pieces.size(), 0);
    const auto combine = std::get<Plan>(plan_for(call_, Pass::combine));
    push_rows(
        combine,
        of_runs(runs.count),
        forward_results(),
        {ceil_divide(p_.B * p_.Hq * p_.Nq, combine.simdgroups), 1, 1});
  }

  const Call& call_;
  const Problem& p_;
};

Scheduled steps_of(const Call& call, const std::vector<Pass>& passes) {
  Schedule schedule(call);
  for (const Pass pass : passes) {
    if (const auto refusal = schedule.add(pass)) {
      return *refusal;
    }
  }
  return std::move(schedule.steps);
}

} // namespace

std::vector<Operand> gradients_of(const Problem& problem) {
  const auto& f = problem.features;
  std::vector<Operand> all = {Operand::dQ, Operand::dK, Operand::dV};
  for (const auto& [has, gradient] :
       {std::pair(f.bias, Operand::dbias),
        std::pair(f.alibi, Operand::dslopes),
        std::pair(f.sinks, Operand::dsinks)}) {
    if (has) {
      all.push_back(gradient);
    }
  }
  return all;
}

std::vector<Pass> forward_passes(const Call& call) {
  return takes_runs(call) ? std::vector{Pass::forward, Pass::combine}
                          : std::vector{Pass::forward};
}

std::vector<Pass> backward_passes(const std::vector<Operand>& wanted) {
  const auto any = [&](std::initializer_list<Operand> operands) {
    return std::ranges::find_first_of(wanted, operands) != wanted.end();
  };
  std::vector<Pass> passes = {Pass::delta};
  const std::pair<bool, Pass> needed[] = {
      {any({Operand::dQ, Operand::dslopes}), Pass::dq},
      {any({Operand::dK, Operand::dV}), Pass::dkv},
      {any({Operand::dbias}), Pass::dbias},
      {any({Operand::dslopes}), Pass::dslopes},
      {any({Operand::dsinks}), Pass::dsinks}};
  for (const auto& [wants, pass] : needed) {
    if (wants) {
      passes.push_back(pass);
    }
  }
  return passes;
}

Scheduled forward_steps(const Call& call) {
  return steps_of(call, Pass::forward);
}

Scheduled backward_steps(const Call& call, const std::vector<Operand>& wanted) {
  return steps_of(call, backward_passes(wanted));
}

Scheduled steps_of(const Call& call, Pass pass) {
  return steps_of(call, std::vector{pass});
}

} // namespace tessera::metal
