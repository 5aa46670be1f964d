#pragma once

#include <cstdint>
#include <functional>

namespace tessera::ops {

// Rows [begin, end) of an operation, the `index`-th piece of it.
struct Piece {
  int index = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t rows() const {
    return end - begin;
  }
};

// How many rows a piece has, and how many pieces there are: fixed by the number
// of rows, so that sums over pieces have the same bits for any threads.
std::int64_t rows_of_piece(std::int64_t rows);
int pieces_of(std::int64_t rows);

// Calls work(piece) for every piece of [0, rows), on the CPU's threads. `work`
// must not throw.
void for_pieces(
    std::int64_t rows, const std::function<void(const Piece&)>& work);

// The same for `count` things that are not rows.
void for_each_index(int count, const std::function<void(int)>& work);

} // namespace tessera::ops
