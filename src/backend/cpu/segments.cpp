#include "backend/cpu/segments.h"

#include <algorithm>

namespace tessera::cpu {

namespace {

constexpr int granule = 16;

Span granules_of(Span span) {
  return {span.lo / granule, (span.hi + granule - 1) / granule};
}

} // namespace

SegmentTable::SegmentTable(const Task& task, int batch)
    : Nq_(task.problem.Nq),
      Nk_(task.problem.Nk),
      queries_(granules(task[Operand::segments_q], batch, Nq_)),
      keys_(granules(task[Operand::segments_k], batch, Nk_)),
      key_reach_(reach(queries_, keys_)),
      row_reach_(reach(keys_, queries_)) {}

Seen SegmentTable::seen(Span rows, Span keys) const {
  const Ids q = join(queries_, rows);
  const Ids k = join(keys_, keys);
  if (!q.meets(k)) {
    return Seen::nothing;
  }
  const bool one =
      q.least == q.largest && k.least == k.largest && q.least == k.least;
  return one ? Seen::everything : Seen::something;
}

Span SegmentTable::keys_of(Span rows) const {
  return join(key_reach_, rows, Nk_);
}

Span SegmentTable::rows_of(Span keys) const {
  return join(row_reach_, keys, Nq_);
}

SegmentTable::Sequence SegmentTable::granules(
    const View& ids, int batch, int length) {
  Sequence sequence;
  for (int first = 0; first < length; first += granule) {
    Ids range{ids.at<std::int32_t>(batch, first)};
    range.largest = range.least;
    for (int i = first; i < std::min(first + granule, length); ++i) {
      const auto id = ids.at<std::int32_t>(batch, i);
      range.least = std::min(range.least, id);
      range.largest = std::max(range.largest, id);
    }
    sequence.push_back(range);
  }
  return sequence;
}

// By bisection where neither bound of `to` ever falls, else by search.
std::vector<Span> SegmentTable::reach(
    const Sequence& from, const Sequence& to) {
  const bool rising = std::is_sorted(to.begin(), to.end(), [](Ids a, Ids b) {
    return a.least < b.least || a.largest < b.largest;
  });
  std::vector<Span> all;
  for (const Ids ids : from) {
    auto first = to.begin();
    auto last = to.end();
    if (rising) {
      first = std::partition_point(
          first, last, [=](Ids k) { return k.largest < ids.least; });
      last = std::partition_point(
          first, last, [=](Ids k) { return k.least <= ids.largest; });
    } else {
      const auto meets = [=](Ids k) {
        return k.meets(ids);
      };
      first = std::find_if(first, last, meets);
      while (last != first && !meets(*(last - 1))) {
        --last;
      }
    }
    all.push_back(
        {static_cast<int>(first - to.begin()),
         static_cast<int>(last - to.begin())});
  }
  return all;
}

SegmentTable::Ids SegmentTable::join(const Sequence& sequence, Span span) {
  const Span g = granules_of(span);
  Ids ids = sequence[static_cast<std::size_t>(g.lo)];
  for (int i = g.lo + 1; i < g.hi; ++i) {
    const Ids next = sequence[static_cast<std::size_t>(i)];
    ids.least = std::min(ids.least, next.least);
    ids.largest = std::max(ids.largest, next.largest);
  }
  return ids;
}

Span SegmentTable::join(const std::vector<Span>& reach, Span span, int length) {
  Span joined;
  const Span g = granules_of(span);
  for (int i = g.lo; i < g.hi; ++i) {
    const Span next = reach[static_cast<std::size_t>(i)];
    if (joined.empty()) {
      joined = next;
    } else if (!next.empty()) {
      joined = {std::min(joined.lo, next.lo), std::max(joined.hi, next.hi)};
    }
  }
  return {joined.lo * granule, std::min(joined.hi * granule, length)};
}

} // namespace tessera::cpu
