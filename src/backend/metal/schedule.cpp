#include "backend/metal/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "plan/metal/planner.h"

namespace tessera::metal {

namespace {

// Keys of a run of few queries: enough runs that they fill a GPU, and none so
// long that one of all heads takes more than `seconds`.
int run_of(const Problem& p, Family family, double seconds) {
  constexpr int unit = 256;
  constexpr int wanted = 64;
  constexpr int rows = 32; // of a threadgroup, as planned for few queries
  const int runs = ceil_divide(wanted, std::max(1, p.B * p.Hkv));
  int run = std::max(unit, ceil_divide(ceil_divide(p.Nk, runs), unit) * unit);
  const double blocks = 1.0 * p.B * p.Hkv * ceil_divide(p.group() * p.Nq, rows);
  const auto time = [&] {
    const double flops = 2.0 * rows * (padded(p.D) + padded(p.Dv)) * run;
    return estimated_seconds(flops * blocks, rows / 8 * blocks, family);
  };
  while (run > unit && time() > seconds) {
    run = std::max(unit, run / 2 / unit * unit);
  }
  return run;
}

// Of operands without gaps.
Array layout_of(const std::vector<Array>& operands) {
  Array layout{std::string(layout_name), Element::int64, {}};
  for (const auto& operand : operands) {
    std::vector<double> steps(operand.shape.size());
    double step = 1;
    for (std::size_t axis = steps.size(); axis-- > 0;) {
      steps[axis] = step;
      step *= operand.shape[axis];
    }
    layout.values.insert(
        layout.values.end(), operand.shape.begin(), operand.shape.end());
    layout.values.insert(layout.values.end(), steps.begin(), steps.end());
  }
  layout.shape = {static_cast<int>(layout.values.size())};
  return layout;
}

// Operands come first, then the layout, then numbers and carried sums.
void add_layout(std::vector<Array>& inputs, std::size_t operands) {
  const auto end = inputs.begin() + static_cast<std::ptrdiff_t>(operands);
  inputs.insert(end, layout_of({inputs.begin(), end}));
}

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
        plan.packed ? add_runs(plan) : add_loop(plan);
        break;
      case Pass::dq:
      case Pass::dkv:
      case Pass::dbias:
        add_loop(plan);
        break;
      case Pass::combine:
        add_combine(plan);
        break;
      case Pass::delta:
        add_rows(plan, {"O", "dO", "dL"}, {vector("D")});
        break;
      case Pass::dslopes:
        add_dslopes(plan);
        break;
      case Pass::dsinks:
        add_dsinks(plan);
        break;
    }
    return std::nullopt;
  }

  std::vector<Step> steps;

 private:
  const Array* find(std::string_view name) const {
    const auto at = std::find_if(
        call_.arrays.begin(), call_.arrays.end(), [&](const Array& a) {
          return a.name == name;
        });
    return at == call_.arrays.end() ? nullptr : &*at;
  }

  // A row vector of all queries.
  Array vector(const char* name) const {
    return {name, Element::float32, {p_.B, p_.Hq, p_.Nq}};
  }

  // The operands by these names that the call has, and the numbers.
  std::vector<Array> operands(std::initializer_list<const char*> names) const {
    std::vector<Array> arrays;
    for (const auto* name : names) {
      const auto* array = find(name);
      if (array != nullptr) {
        arrays.push_back(*array);
      } else if (name == std::string_view("D")) {
        arrays.push_back(vector("D"));
      }
    }
    return arrays;
  }

  std::vector<Array> loop_inputs(Pass pass) const {
    auto inputs = pass == Pass::forward
        ? operands({"Q", "K", "V"})
        : operands({"Q", "K", "V", "dO", "L", "D"});
    for (const auto& array : operands(
             {"bias",
              "slopes",
              "sinks",
              "mask",
              "blocks",
              "segments_q",
              "segments_k",
              "prefix",
              "seed"})) {
      if (array.name != "sinks" || pass == Pass::forward) {
        inputs.push_back(array);
      }
    }
    add_layout(inputs, inputs.size());
    const auto& n = call_.numbers;
    const auto threshold = static_cast<std::uint32_t>(
        std::floor(static_cast<double>(n.dropout) * 0x1p32));
    inputs.push_back(
        {"geometry",
         Element::int32,
         {6},
         {static_cast<double>(p_.left),
          static_cast<double>(p_.right),
          static_cast<double>(p_.chunk),
          static_cast<double>(p_.block_rows),
          static_cast<double>(p_.block_columns),
          static_cast<double>(static_cast<std::int32_t>(threshold))}});
    inputs.push_back(
        {"numbers",
         Element::float32,
         {3},
         {n.scale, n.softcap, 1.0f / (1.0f - n.dropout)}});
    return inputs;
  }

  static Array piece(std::array<int, 7> numbers) {
    return {"piece", Element::int32, {7}, {numbers.begin(), numbers.end()}};
  }

  void push(
      const Plan& plan,
      Part part,
      std::vector<Array> inputs,
      std::vector<Array> outputs,
      std::array<int, 3> threadgroups) {
    if (!by_scores(plan.pass)) {
      add_layout(inputs, inputs.size());
    }
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

  // What a piece of `heads` heads and `rows` rows gives, and what it leaves for
  // the next part of its loop.
  std::vector<Array> results(Pass pass, int B, int H, int rows) const {
    const auto element = element_of(p_.dtype);
    switch (pass) {
      case Pass::forward:
        return {
            {"O", element, {B, H, rows, p_.Dv}},
            {"L", Element::float32, {B, H, rows}}};
      case Pass::dq: {
        std::vector<Array> all = {{"dQ", element, {B, H, rows, p_.D}}};
        if (p_.features.alibi) {
          all.push_back({"dslope_rows", Element::float32, {B, H, rows}});
        }
        return all;
      }
      case Pass::dkv:
        return {
            {"dK", element, {B, H, rows, p_.D}},
            {"dV", element, {B, H, rows, p_.Dv}}};
      default: {
        const auto* bias = find("bias");
        return {{"dbias", bias->element, {B, H, rows, bias->shape[3]}}};
      }
    }
  }
  std::vector<Array> sums(
      const Plan& plan, int B, int H, int rows, int threadgroups) const {
    constexpr auto f = Element::float32;
    switch (plan.pass) {
      case Pass::forward:
        return {
            {"O_sum", f, {B, H, rows, p_.Dv}},
            {"m_sum", f, {B, H, rows}},
            {"l_sum", f, {B, H, rows, 4}}};
      case Pass::dq: {
        std::vector<Array> all = {{"dQ_sum", f, {B, H, rows, p_.D}}};
        if (p_.features.alibi) {
          all.push_back({"slope_sums", f, {B, H, rows, 4}});
        }
        return all;
      }
      case Pass::dkv:
        return {
            {"dK_sum", f, {B, H, rows, p_.D}},
            {"dV_sum", f, {B, H, rows, p_.Dv}}};
      default:
        return {
            {"totals",
             f,
             {B, H, threadgroups, plan.rows / 8 * plan.columns / 8 * 64}}};
    }
  }

  Work work(const Plan& plan) const {
    auto w = work_of(p_, plan);
    if (plan.pass == Pass::dbias) {
      const auto& shape = find("bias")->shape;
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

  // Tiles of a bias beside each other.
  int across(const Plan& plan) const {
    return find("bias")->shape[3] == 1 ? 1 : ceil_divide(p_.Nk, plan.columns);
  }

  // The length of the rows that a pass gives.
  int length(Pass pass) const {
    return pass == Pass::dkv  ? p_.Nk
        : pass == Pass::dbias ? find("bias")->shape[2]
                              : p_.Nq;
  }

  // The parts of a loop over one piece; gives its results under their keys.
  std::vector<Array> add_piece(
      const Plan& plan,
      const std::vector<Along>& parts,
      Span batches,
      Span heads,
      Span blocks,
      const std::string& suffix) {
    const int M = plan.rows_of_threadgroup();
    const int rows =
        intersect({blocks.lo * M, blocks.hi * M}, {0, length(plan.pass)})
            .size();
    const int wide = plan.pass == Pass::dbias ? across(plan) : 1;
    const int B = batches.size();
    const int H = heads.size();
    auto outputs = results(plan.pass, B, H, rows);
    for (auto& output : outputs) {
      output.key = output.name + suffix;
    }
    const auto carried = sums(plan, B, H, rows, blocks.size() * wide);
    int number = 0;
    for (const auto& [group, range, part] : parts) {
      auto inputs = loop_inputs(plan.pass);
      inputs.push_back(piece(
          {blocks.lo,
           heads.lo,
           batches.lo,
           range.lo,
           range.hi,
           group.lo,
           group.hi}));
      std::vector<Array> next;
      for (auto sum : carried) {
        if (!part.begins) {
          sum.key = fmt::format("{}{}.{}", sum.name, suffix, number - 1);
          inputs.push_back(sum);
        }
        if (!part.ends) {
          sum.key = fmt::format("{}{}.{}", sum.name, suffix, number);
          sum.name += "_next";
          next.push_back(sum);
        }
      }
      if (part.ends) {
        next = outputs;
      }
      if (plan.sums == Home::device) {
        next.push_back(
            {"spill",
             Element::float32,
             {B,
              H,
              blocks.size(),
              plan.simdgroups * resources(plan).spilled_floats},
             {},
             fmt::format("spill{}.{}", suffix, number)});
      }
      push(plan, part, inputs, next, {blocks.size() * wide, H, B});
      ++number;
    }
    return outputs;
  }

  // Joins what is known under these keys to what `key` names.
  void join(
      Array output, std::string key, std::vector<std::string> parts, int axis) {
    output.key = std::move(key);
    output.shape[static_cast<std::size_t>(axis)] = 0;
    for (const auto& part : parts) {
      output.shape[static_cast<std::size_t>(axis)] += extent(part, axis);
    }
    steps.emplace_back(Join{output, std::move(parts), axis});
  }
  int extent(const std::string& key, int axis) const {
    for (const auto& step : steps) {
      if (const auto* made = std::get_if<Join>(&step);
          made != nullptr && made->output.known_as() == key) {
        return made->output.shape[static_cast<std::size_t>(axis)];
      }
      if (const auto* launch = std::get_if<Launch>(&step)) {
        for (const auto& output : launch->outputs) {
          if (output.known_as() == key) {
            return output.shape[static_cast<std::size_t>(axis)];
          }
        }
      }
    }
    return 0;
  }

  void add_loop(const Plan& plan) {
    const auto [batches, heads, blocks, parts] =
        cut(work(plan), call_.family, call_.seconds);
    // Keys: "O" for the whole, "O/0" for a batch piece, "O/0/1" for a head
    // piece of it, "O/0/1/2" for its rows. What is not cut has no number.
    const auto suffix = [](std::size_t count, std::size_t i) {
      return count > 1 ? fmt::format("/{}", i) : std::string();
    };
    std::vector<Array> made;
    for (std::size_t b = 0; b < batches.size(); ++b) {
      const auto of_batch = suffix(batches.size(), b);
      for (std::size_t h = 0; h < heads.size(); ++h) {
        const auto of_head = of_batch + suffix(heads.size(), h);
        for (std::size_t k = 0; k < blocks.size(); ++k) {
          made = add_piece(
              plan,
              parts,
              batches[b],
              heads[h],
              blocks[k],
              of_head + suffix(blocks.size(), k));
        }
        join_all(made, of_head, blocks.size(), 2);
      }
      join_all(made, of_batch, heads.size(), 1);
    }
    join_all(made, "", batches.size(), 0);
  }
  void join_all(
      const std::vector<Array>& made,
      const std::string& suffix,
      std::size_t count,
      int axis) {
    for (std::size_t i = 0; count > 1 && i < made.size(); ++i) {
      std::vector<std::string> parts;
      for (std::size_t part = 0; part < count; ++part) {
        parts.push_back(fmt::format("{}{}/{}", made[i].name, suffix, part));
      }
      Array output = made[i];
      output.shape = whole_shape(made[i], axis);
      join(output, made[i].name + suffix, std::move(parts), axis);
    }
  }
  // A part's shape with the axes that were joined before.
  std::vector<int> whole_shape(const Array& part, int axis) const {
    auto shape = part.shape;
    if (axis < 2) {
      const auto pass = part.name == "dK" || part.name == "dV" ? Pass::dkv
          : part.name == "dbias"                               ? Pass::dbias
                                                               : Pass::dq;
      shape[2] = length(pass);
      if (axis < 1) {
        shape[1] = pass == Pass::dkv ? p_.Hkv
            : pass == Pass::dbias    ? find("bias")->shape[1]
                                     : p_.Hq;
      }
    }
    return shape;
  }

  // Few queries: runs of keys side by side, as many a launch as its time lets.
  void add_runs(const Plan& plan) {
    const int run = run_of(p_, call_.family, call_.seconds);
    const int runs = std::max(1, ceil_divide(p_.Nk, run));
    const int blocks =
        ceil_divide(p_.group() * p_.Nq, plan.rows_of_threadgroup());
    const int heads = p_.B * p_.Hkv * blocks;
    const double flops = 2.0 * plan.rows_of_threadgroup() *
        (padded(plan.D) + padded(plan.Dv)) * run;
    int together = runs;
    while (together > 1 &&
           estimated_seconds(
               flops * heads * together,
               static_cast<double>(plan.simdgroups) * heads * together,
               call_.family) > call_.seconds) {
      together = ceil_divide(together, 2);
    }
    std::vector<std::string> O;
    std::vector<std::string> L;
    const auto pieces = chunks(runs, together);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const int count = pieces[i].size();
      auto inputs = loop_inputs(Pass::forward);
      inputs.push_back(piece({0, 0, 0, 0, p_.Nk, run, pieces[i].lo}));
      std::vector<Array> outputs = {
          {"O_runs", Element::float32, {count, p_.B, p_.Hq, p_.Nq, p_.Dv}},
          {"L_runs", Element::float32, {count, p_.B, p_.Hq, p_.Nq}}};
      if (pieces.size() > 1) {
        outputs[0].key = O.emplace_back(fmt::format("O_runs/{}", i));
        outputs[1].key = L.emplace_back(fmt::format("L_runs/{}", i));
      }
      push(plan, {}, inputs, outputs, {blocks * count, p_.Hkv, p_.B});
    }
    if (pieces.size() > 1) {
      const auto& last = std::get<Launch>(steps.back()).outputs;
      const Array of_O = last[0];
      const Array of_L = last[1];
      join(of_O, "O_runs", O, 0);
      join(of_L, "L_runs", L, 0);
    }
    add(Pass::combine);
  }

  void add_combine(const Plan& plan) {
    const int runs = std::max(
        1, ceil_divide(p_.Nk, run_of(p_, call_.family, call_.seconds)));
    const int rows = p_.B * p_.Hq * p_.Nq;
    push(
        plan,
        {},
        {{"O_runs", Element::float32, {runs, p_.B, p_.Hq, p_.Nq, p_.Dv}},
         {"L_runs", Element::float32, {runs, p_.B, p_.Hq, p_.Nq}}},
        results(Pass::forward, p_.B, p_.Hq, p_.Nq),
        {ceil_divide(rows, plan.simdgroups), 1, 1});
  }

  void add_rows(
      const Plan& plan,
      std::initializer_list<const char*> inputs,
      std::vector<Array> outputs) {
    push(
        plan,
        {},
        operands(inputs),
        std::move(outputs),
        {ceil_divide(p_.Nq, plan.simdgroups), p_.Hq, p_.B});
  }

  void add_dslopes(const Plan& plan) {
    const auto& slopes = *find("slopes");
    push(
        plan,
        {},
        {vector("dslope_rows")},
        {{"dslopes", slopes.element, slopes.shape}},
        {p_.Hq, slopes.shape[0], 1});
  }

  void add_dsinks(const Plan& plan) {
    const auto& sinks = *find("sinks");
    push(
        plan,
        {},
        operands({"sinks", "L", "D"}),
        {{"dsinks", sinks.element, sinks.shape}},
        {p_.Hq, 1, 1});
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

std::string letter(Operand operand) {
  return operand == Operand::E ? "D" : std::string(name(operand));
}

Planned plan_for(const Call& call, Pass pass) {
  return call.block_size != 0
      ? make_plan(call.problem, pass, call.family, call.block_size)
      : tuned_plan(call.problem, pass, call.family, call.tiles);
}

Scheduled forward_steps(const Call& call) {
  return steps_of(call, std::vector<Pass>{Pass::forward});
}

Scheduled backward_steps(const Call& call, const std::vector<Operand>& wanted) {
  const auto any = [&](std::initializer_list<Operand> operands) {
    return std::any_of(wanted.begin(), wanted.end(), [&](Operand w) {
      return std::find(operands.begin(), operands.end(), w) != operands.end();
    });
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
  return steps_of(call, passes);
}

Scheduled steps_of(const Call& call, Pass pass) {
  return steps_of(call, std::vector<Pass>{pass});
}

} // namespace tessera::metal
