// The operand that a loop runs along, 8 * N rows at a time. Where it is staged
// in threadgroup memory, all threads of a threadgroup call these together:
// barriers lie inside.

enum Staging : int { direct = 0, whole = 1, pieces = 2 };

// Copies 8 * N rows of an operand, `width` features from `feature` on.
template <int width, typename Source>
void stage_rows(
    threadgroup T* to, Source from, int row, int feature, uint thread_index) {
  for (int x = int(thread_index); x < 8 * N * (width / 2); x += threads) {
    const int r = x / (width / 2);
    const int f = x % (width / 2) * 2;
    threadgroup T* const at = to + r * (width + staged_gap) + f;
    at[0] = from.at(row + r, feature + f);
    at[1] = from.at(row + r, feature + f + 1);
  }
}

// `width` features are staged at a time; all where the plan stages it whole.
// Pieces lie in two halves of the memory by turns: while some simdgroups still
// read one, the next is written, and one barrier a piece is enough.
template <typename Source, int features, int width>
struct Along {
  enum : int {
    F = (features + 7) / 8,
    stride = width + staged_gap,
    pieces_of_tile = 8 * F / width
  };
  Source source;
  threadgroup T* memory;
  uint thread_index;
  int turn; // the half of the first piece
  int row;

  // Goes to the rows from `first` on. Between two barriers of the caller's
  // where the operand is staged whole.
  void go_to(int first) {
    row = first;
    if (staging == whole) {
      stage_rows<width>(memory, source, row, 0, thread_index);
    }
  }
  Staged<stride> stage(int f) const {
    threadgroup T* const to =
        memory + (turn + 8 * f / width) % 2 * staged_offset;
    stage_rows<width>(to, source, row, 8 * f, thread_index);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return {to};
  }

  // S += own * rows^T.
  template <typename A>
  void add_scores_to(
      thread Tile& S, thread const A& own, Span live, Lane lane) const {
    if (staging == direct) {
      add_scores<F>(S, own, 0, source.from(row), 0, live, lane);
    } else if (staging == whole) {
      add_scores<F>(S, own, 0, Staged<stride>{memory}, 0, live, lane);
    } else {
      UNROLL for (int f = 0; f < F; f += width / 8) {
        add_scores<width / 8>(S, own, f, stage(f), 0, live, lane);
      }
    }
  }

  // sum += tile * rows.
  template <typename Total>
  void add_product_to(
      thread Total& sum, thread const Tile& tile, Span live, Lane lane) const {
    if (staging == direct) {
      add_product<F>(sum, 0, tile, source.from(row), 0, live, lane);
    } else if (staging == whole) {
      add_product<F>(sum, 0, tile, Staged<stride>{memory}, 0, live, lane);
    } else {
      UNROLL for (int f = 0; f < F; f += width / 8) {
        add_product<width / 8>(sum, f, tile, stage(f), 0, live, lane);
      }
    }
  }
};
