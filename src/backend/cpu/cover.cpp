#include "backend/cpu/cover.h"

namespace tessera::cpu {

Cover::Cover(const Task& task) : task_(task) {
  const Problem& p = task.problem;
  for (int b = 0; b < p.B; ++b) {
    masks_.push_back(p.mask(
        p.features.prefix ? task[Operand::prefix].at<std::int32_t>(b) : 0));
    if (p.features.segments) {
      segments_.emplace_back(task, b);
    }
  }
}

Span Cover::keys(int batch, Span rows) const {
  const Span seen = mask(batch).seen_by_any(rows);
  return segments_.empty() || rows.empty()
      ? seen
      : intersect(
            seen, segments_[static_cast<std::size_t>(batch)].keys_of(rows));
}

Span Cover::rows(int batch, Span keys) const {
  const Span sees = mask(batch).sees_any(keys);
  return segments_.empty() || keys.empty()
      ? sees
      : intersect(
            sees, segments_[static_cast<std::size_t>(batch)].rows_of(keys));
}

Seen Cover::positions(int batch, Span rows, Span keys) const {
  if (intersect(mask(batch).seen_by_any(rows), keys).empty()) {
    return Seen::nothing;
  }
  return mask(batch).seen_by_all(rows).contains(keys) ? Seen::everything
                                                      : Seen::something;
}

Seen Cover::segments(int batch, Span rows, Span keys) const {
  return segments_.empty()
      ? Seen::everything
      : segments_[static_cast<std::size_t>(batch)].seen(rows, keys);
}

Seen Cover::blocks(int batch, int head, Span rows, Span keys) const {
  const int r = task_.problem.block_rows;
  const int c = task_.problem.block_columns;
  if (r == 0) {
    return Seen::everything;
  }
  bool some = false;
  bool all = true;
  for (int i = rows.lo / r; i <= (rows.hi - 1) / r; ++i) {
    for (int j = keys.lo / c; j <= (keys.hi - 1) / c; ++j) {
      const bool is_on = on(batch, head, i, j);
      some = some || is_on;
      all = all && is_on;
    }
  }
  return all ? Seen::everything : some ? Seen::something : Seen::nothing;
}

bool Cover::live(int batch, int head, Span rows, Span keys) const {
  return positions(batch, rows, keys) != Seen::nothing &&
      segments(batch, rows, keys) != Seen::nothing &&
      blocks(batch, head, rows, keys) != Seen::nothing;
}

bool Cover::on(int batch, int head, int block_row, int block_column) const {
  return task_[Operand::blocks].at<std::uint8_t>(
             batch, head, block_row, block_column) != 0;
}

} // namespace tessera::cpu
