// Where an operand of a product lies. Each kind answers for the 8x8 matrix of
// rows from `row` and features from `feature`: `upright` as it lies,
// `transposed` the other way round.

template <typename Pointer>
struct Pointee;
template <typename E>
struct Pointee<const device E*> {
  using type = E;
};
template <typename E>
struct Pointee<const constant E*> {
  using type = E;
};

// In memory, [rows][features] with a last axis without gaps; where `packed`,
// the rows of several heads one after the other. What lies beyond the ends is
// 0.
template <typename Pointer, int features, bool packed = false>
struct Rows {
  using E = typename Pointee<Pointer>::type;
  Pointer data;
  int64_t stride;
  int rows;
  int rows_of_head;    // read where packed
  int64_t head_stride; // the same

  Pointer row(int row) const {
    return packed ? data + (row / rows_of_head) * head_stride +
            (row % rows_of_head) * stride
                  : data + row * stride;
  }
  // The rows from `first` on, as an operand: an address that changes with every
  // step of a loop, which keeps the compiler from holding one for each fragment
  // over all of the loop.
  Rows from(int first) const {
    Rows rest = *this;
    rest.data += first * stride;
    rest.rows -= first;
    return rest;
  }
  // Of a row and a feature of the lane's, counted from `first`.
  Pointer of_lane(int first, int lane_row, int lane_feature) const {
    return packed ? row(first + lane_row) + lane_feature
                  : data + (lane_row * stride + lane_feature) + first * stride;
  }
  // Whether there are features up to this one; they all are in whole fragments.
  bool reaches(int feature) const {
    return features % 8 == 0 || feature < features;
  }
  E at(int r, int feature) const {
    return r < rows && reaches(feature) ? row(r)[feature] : E(0);
  }
  // `feature` is a constant, and so added last: one address serves all
  // fragments of a row. A pair is read in one branch, where it is one register.
  vec<E, 2> upright(int first, int feature, Lane lane) const {
    const int r = first + lane.row;
    const Pointer from = of_lane(first, lane.row, lane.column);
    vec<E, 2> x = vec<E, 2>(E(0));
    if (r < rows && reaches(feature + lane.column + 1)) {
      x = vec<E, 2>(from[feature], from[feature + 1]);
    } else if (r < rows && reaches(feature + lane.column)) {
      x.x = from[feature];
    }
    return x;
  }
  vec<E, 2> transposed(int first, int feature, Lane lane) const {
    const int r = first + lane.column;
    const Pointer from = of_lane(first, lane.column, lane.row);
    const Pointer next = of_lane(first, lane.column + 1, lane.row);
    vec<E, 2> x = vec<E, 2>(E(0));
    if (r + 1 < rows && reaches(feature + lane.row)) {
      x = vec<E, 2>(from[feature], next[feature]);
    } else if (r < rows && reaches(feature + lane.row)) {
      x.x = from[feature];
    }
    return x;
  }
};

// In threadgroup memory, whole fragments only.
template <int stride>
struct Staged {
  threadgroup const T* data;

  vec<T, 2> upright(int row, int feature, Lane lane) const {
    threadgroup const T* const from =
        data + (row + lane.row) * stride + feature + lane.column;
    return vec<T, 2>(from[0], from[1]);
  }
  vec<T, 2> transposed(int row, int feature, Lane lane) const {
    threadgroup const T* const from =
        data + (row + lane.column) * stride + feature + lane.row;
    return vec<T, 2>(from[0], from[stride]);
  }
};

// The rows of one simdgroup: in registers where the plan holds them, else read
// again from memory each time.
template <typename Source, int features, bool held>
struct Own {
  enum : int { F = (features + 7) / 8, is_held = held };
  Source source;
  int first;
  vec<T, 2> fragments[held ? R : 1][held ? F : 1];

  void load(Lane lane) {
    UNROLL for (int i = 0; held && i < R; ++i) {
      UNROLL for (int f = 0; f < F; ++f) {
        fragments[held ? i : 0][held ? f : 0] =
            source.upright(first + 8 * i, 8 * f, lane);
      }
    }
  }
  vec<T, 2> upright(int i, int f, Lane lane) const {
    if (held) {
      return fragments[held ? i : 0][held ? f : 0];
    }
    return source.upright(first + 8 * i, 8 * f, lane);
  }
};
