// Where an operand of a product lies. Each kind answers for the 8x8 matrix of
// rows from `row` and features from `feature`: `upright` as it lies,
// `transposed` the other way round.

// In memory, [rows][features] with a last axis without gaps; where `packed`,
// the rows of several heads one after the other. What lies beyond the ends is
// 0.
template <typename Pointer, int features, bool packed = false>
struct Rows {
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
  bool all_inside(int row) const {
    return features % 8 == 0 && row + 8 <= rows;
  }
  float at(int r, int feature) const {
    return r < rows && feature < features ? float(row(r)[feature]) : 0.0f;
  }
  float2 upright(int first, int feature, Lane lane) const {
    const int r = first + lane.row;
    const int f = feature + lane.column;
    if (all_inside(first)) {
      const Pointer from = row(r) + f;
      return {float(from[0]), float(from[1])};
    }
    return {at(r, f), at(r, f + 1)};
  }
  float2 transposed(int first, int feature, Lane lane) const {
    const int r = first + lane.column;
    const int f = feature + lane.row;
    if (all_inside(first)) {
      return {float(row(r)[f]), float(row(r + 1)[f])};
    }
    return {at(r, f), at(r + 1, f)};
  }
};

// In threadgroup memory, whole fragments only.
template <int stride>
struct Staged {
  threadgroup const T* data;

  float2 upright(int row, int feature, Lane lane) const {
    threadgroup const T* const from =
        data + (row + lane.row) * stride + feature + lane.column;
    return {float(from[0]), float(from[1])};
  }
  float2 transposed(int row, int feature, Lane lane) const {
    threadgroup const T* const from =
        data + (row + lane.column) * stride + feature + lane.row;
    return {float(from[0]), float(from[stride])};
  }
};

// The rows of one simdgroup: in registers where the plan holds them, else read
// again from memory each time.
template <typename Source, int features, bool held>
struct Own {
  enum : int { F = (features + 7) / 8 };
  Source source;
  int first;
  vec<T, 2> fragments[held ? R : 1][held ? F : 1];

  void load(Lane lane) {
    UNROLL for (int i = 0; held && i < R; ++i) {
      UNROLL for (int f = 0; f < F; ++f) {
        const float2 x = source.upright(first + 8 * i, 8 * f, lane);
        fragments[held ? i : 0][held ? f : 0] = vec<T, 2>(T(x.x), T(x.y));
      }
    }
  }
  float2 upright(int i, int f, Lane lane) const {
    if (held) {
      const vec<T, 2> x = fragments[held ? i : 0][held ? f : 0];
      return {float(x.x), float(x.y)};
    }
    return source.upright(first + 8 * i, 8 * f, lane);
  }
};
