#include "backend/cpu/shared.h"

#include <algorithm>
#include <thread>

namespace tessera::cpu {

namespace {

// Spins a little first: an item that is waited for is about as far as the one
// that waits.
void wait_until(const std::atomic<int>& value, int wanted) {
  for (int tries = 0; value.load(std::memory_order_acquire) != wanted;
       ++tries) {
    if (tries > 1000) {
      std::this_thread::yield();
    }
  }
}

std::size_t product(int a, int b, int c) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) *
      static_cast<std::size_t>(c);
}

// float32 dQ of the query heads of a key head; of none where dQ is float32.
std::size_t dQ_floats(const Problem& p) {
  return p.pass != Pass::backward || p.dtype == Dtype::float32
      ? 0
      : product(p.group(), p.Nq, p.D);
}

// Key heads that share the threads at a time. All, where that takes no memory;
// with many items a head, waiting for its last ones at its end costs less than
// the memory of a second.
int heads_in_flight(const Problem& p, const Plan& plan, const Grid& grid) {
  const int heads = p.B * p.Hkv;
  if (p.dtype == Dtype::float32) {
    return std::max(1, heads);
  }
  const bool many = grid.column_blocks >= 8 * plan.threads;
  return many ? 1 : std::clamp(heads, 1, 2 * plan.threads);
}

std::size_t slope_floats(const Problem& p, const Grid& grid) {
  return p.features.alibi ? product(p.B, p.Hq, grid.column_blocks) : 0;
}

std::size_t sink_floats(const Problem& p, const Grid& grid) {
  return p.features.sinks ? product(p.B, p.Hq, grid.row_blocks) : 0;
}

} // namespace

Grid grid_of(const Problem& problem, const Plan& plan) {
  const auto blocks = [](int length, int side) {
    return (length + side - 1) / side;
  };
  return {
      plan.rows,
      plan.columns,
      blocks(problem.Nq, plan.rows),
      blocks(problem.Nk, plan.columns)};
}

Shared::Shared(
    const Task& task, const Cover& cover, const Grid& grid, float* memory)
    : task_(task),
      cover_(cover),
      grid_(grid),
      heads_in_flight_(heads_in_flight(task.problem, task.plan, grid)),
      E_(memory),
      slopes_(E_ + product(task.problem.B, task.problem.Hq, task.problem.Nq)),
      sinks_(slopes_ + slope_floats(task.problem, grid)),
      dQ_(sinks_ + sink_floats(task.problem, grid)),
      turns_(product(task.problem.B, task.problem.Hq, grid.row_blocks)),
      finished_(product(task.problem.B, task.problem.Hkv, 1)) {}

std::size_t Shared::floats(
    const Problem& problem, const Plan& plan, const Grid& grid) {
  return product(problem.B, problem.Hq, problem.Nq) +
      slope_floats(problem, grid) + sink_floats(problem, grid) +
      static_cast<std::size_t>(heads_in_flight(problem, plan, grid)) *
      dQ_floats(problem);
}

Shared::Item Shared::item(int index) const {
  const int heads = task_.problem.B * task_.problem.Hkv;
  const int round = index / (heads_in_flight_ * grid_.column_blocks);
  const int first = round * heads_in_flight_;
  const int width = std::min(heads_in_flight_, heads - first);
  const int rest = index - first * grid_.column_blocks;
  const int key_head = first + rest % width;
  return {
      key_head / task_.problem.Hkv, key_head % task_.problem.Hkv, rest / width};
}

Span Shared::row_block(int index) const {
  return {
      index * grid_.rows, std::min((index + 1) * grid_.rows, task_.problem.Nq)};
}

Span Shared::column_block(int index) const {
  return {
      index * grid_.columns,
      std::min((index + 1) * grid_.columns, task_.problem.Nk)};
}

bool Shared::touches(
    int batch, int head, int row_block, int column_block) const {
  const Span rows = this->row_block(row_block);
  const Span columns = this->column_block(column_block);
  return !intersect(cover_.keys(batch, rows), columns).empty() &&
      !intersect(cover_.rows(batch, columns), rows).empty() &&
      cover_.live(batch, head, rows, columns);
}

// The column blocks that may touch a block of rows.
Span Shared::reach(int batch, int row_block) const {
  const Span keys = cover_.keys(batch, this->row_block(row_block));
  return keys.empty()
      ? Span{}
      : Span{keys.lo / grid_.columns, (keys.hi - 1) / grid_.columns + 1};
}

bool Shared::touched(int batch, int head, int row_block) const {
  return behind(batch, head, row_block, -1) >= 0;
}

int Shared::before(int batch, int head, int row_block, int column_block) const {
  const Span blocks = reach(batch, row_block);
  for (int c = std::min(column_block, blocks.hi) - 1; c >= blocks.lo; --c) {
    if (touches(batch, head, row_block, c)) {
      return c;
    }
  }
  return -1;
}

int Shared::behind(int batch, int head, int row_block, int column_block) const {
  const Span blocks = reach(batch, row_block);
  for (int c = std::max(column_block + 1, blocks.lo); c < blocks.hi; ++c) {
    if (touches(batch, head, row_block, c)) {
      return c;
    }
  }
  return -1;
}

Shared::Turn Shared::wait(
    int batch, int head, int row_block, int column_block) {
  const int previous = before(batch, head, row_block, column_block);
  const auto at = index(batch, head, grid_.row_blocks) + row_block;
  wait_until(turns_[static_cast<std::size_t>(at)], previous + 1);
  return {previous < 0, behind(batch, head, row_block, column_block) < 0};
}

void Shared::done(int batch, int head, int row_block, int column_block) {
  const auto at = index(batch, head, grid_.row_blocks) + row_block;
  turns_[static_cast<std::size_t>(at)].store(
      column_block + 1, std::memory_order_release);
}

float* Shared::dQ(int batch, int head, int row) {
  const Problem& p = task_.problem;
  const int key_head = batch * p.Hkv + head / p.group();
  return dQ_ +
      static_cast<std::size_t>(key_head % heads_in_flight_) * dQ_floats(p) +
      product(head % p.group() * p.Nq + row, p.D, 1);
}

void Shared::wait_for_memory(int batch, int key_head) {
  const int owner = batch * task_.problem.Hkv + key_head - heads_in_flight_;
  if (task_.problem.dtype != Dtype::float32 && owner >= 0) {
    wait_until(finished_[static_cast<std::size_t>(owner)], grid_.column_blocks);
  }
}

void Shared::finish_item(int batch, int key_head) {
  const int owner = batch * task_.problem.Hkv + key_head;
  finished_[static_cast<std::size_t>(owner)].fetch_add(
      1, std::memory_order_acq_rel);
}

} // namespace tessera::cpu
