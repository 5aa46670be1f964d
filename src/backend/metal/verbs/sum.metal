// What a simdgroup adds up over the whole loop, float32: R x features, in
// registers, or one slot a lane of threadgroup or device memory, which no other
// lane touches. Pointer is that to the lane's first slot.
template <typename Pointer, int features, bool spilled>
struct Sum {
  enum : int { F = (features + 7) / 8, is_spilled = spilled };
  Pointer slots;
  float2 fragments[spilled ? 1 : R][spilled ? 1 : F];

  float2 get(int i, int f) const {
    return spilled
        ? float2(
              slots[(2 * (i * F + f)) * 32], slots[(2 * (i * F + f) + 1) * 32])
        : fragments[spilled ? 0 : i][spilled ? 0 : f];
  }
  void set(int i, int f, float2 x) {
    if (spilled) {
      slots[(2 * (i * F + f)) * 32] = x.x;
      slots[(2 * (i * F + f) + 1) * 32] = x.y;
    } else {
      fragments[spilled ? 0 : i][spilled ? 0 : f] = x;
    }
  }
  // Slots are gone through one by one: an address for each of them would take
  // its own registers.
  void clear() {
    UNROLL for (int i = 0; i < R; ++i) {
      if (spilled) {
        ROLLED for (int f = 0; f < F; ++f) {
          set(i, f, float2(0.0f));
        }
      } else {
        UNROLL for (int f = 0; f < F; ++f) {
          set(i, f, float2(0.0f));
        }
      }
    }
  }
  void scale(int i, float factor) {
    if (spilled) {
      ROLLED for (int f = 0; f < F; ++f) {
        set(i, f, get(i, f) * factor);
      }
    } else {
      UNROLL for (int f = 0; f < F; ++f) {
        set(i, f, get(i, f) * factor);
      }
    }
  }
  // From and to memory, [rows][features].
  template <typename From>
  void load(From from, int row, Lane lane) {
    UNROLL for (int i = 0; i < R; ++i) {
      if (spilled) {
        ROLLED for (int f = 0; f < F; ++f) {
          set(i, f, from.upright(row + 8 * i, 8 * f, lane));
        }
      } else {
        UNROLL for (int f = 0; f < F; ++f) {
          set(i, f, from.upright(row + 8 * i, 8 * f, lane));
        }
      }
    }
  }
  template <typename To>
  void store_pair(device To* to, int c, float2 x) const {
    if (c < features) {
      to[0] = To(x.x);
    }
    if (c + 1 < features) {
      to[1] = To(x.y);
    }
  }
  template <typename To>
  void store(
      device To* to, int row, int rows, float factor, int i, Lane lane) const {
    const int r = row + 8 * i + lane.row;
    if (r >= rows) {
      return;
    }
    device To* const at = to + int64_t(r) * features + lane.column;
    if (spilled) {
      ROLLED for (int f = 0; f < F; ++f) {
        store_pair(at + 8 * f, 8 * f + lane.column, get(i, f) * factor);
      }
    } else {
      UNROLL for (int f = 0; f < F; ++f) {
        store_pair(at + 8 * f, 8 * f + lane.column, get(i, f) * factor);
      }
    }
  }
};
