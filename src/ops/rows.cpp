#include "ops/rows.h"

#include <algorithm>

#include "api/node/cpu_call.h"
#include "backend/cpu/share.h"

namespace tessera::ops {

// An eighth of the rows, for up to eight threads to share evenly; at most 512,
// since each product packs its other operand anew: 5 % of a product of 512 rows
// and 512 columns.
std::int64_t rows_of_piece(std::int64_t rows) {
  const std::int64_t eighth = (rows / 8 + 15) / 16 * 16;
  return std::clamp<std::int64_t>(eighth, 32, 512);
}

int pieces_of(std::int64_t rows) {
  const auto size = rows_of_piece(rows);
  return static_cast<int>((rows + size - 1) / size);
}

void for_pieces(
    std::int64_t rows, const std::function<void(const Piece&)>& work) {
  const auto size = rows_of_piece(rows);
  for_each_index(pieces_of(rows), [&](int index) {
    const auto begin = index * size;
    work({index, begin, std::min(begin + size, rows)});
  });
}

void for_each_index(int count, const std::function<void(int)>& work) {
  cpu::share(cpu_device().threads, count, [&](int, int index) { work(index); });
}

} // namespace tessera::ops
