#include "tessera/error.h"
#include "tessera/model.h"

namespace tessera {

namespace {

// Room is made for this many positions at a time, so that a token costs a write
// in place rather than a copy of all before it.
constexpr int step = 256;

// `buffer` [B, H, capacity, D] with `update` [B, H, N, D] written at `length`.
mx::array write_at(
    const std::optional<mx::array>& buffer,
    const mx::array& update,
    int length) {
  const auto shape = update.shape();
  const int end = length + shape[2];
  auto grown = buffer;
  if (!grown || grown->shape(2) < end) {
    const int capacity = (end + step - 1) / step * step;
    const int old = grown ? grown->shape(2) : 0;
    auto room = mx::zeros(
        {shape[0], shape[1], capacity - old, shape[3]}, update.dtype());
    grown = grown ? mx::concatenate({*grown, room}, 2) : room;
  }
  mx::Shape start = {0, 0, length, 0};
  mx::Shape stop = {shape[0], shape[1], end, shape[3]};
  return mx::slice_update(*grown, update, start, stop);
}

mx::array first(const mx::array& buffer, int length) {
  const auto& shape = buffer.shape();
  return mx::slice(
      buffer, {0, 0, 0, 0}, {shape[0], shape[1], length, shape[3]});
}

} // namespace

KvCache::KvCache(int num_layers) : layers_(std::size_t(num_layers)) {}

int KvCache::length() const {
  return layers_.empty() ? 0 : layers_.front().length;
}

std::pair<mx::array, mx::array> KvCache::append(
    int layer, const mx::array& K, const mx::array& V) {
  auto& held = layers_.at(std::size_t(layer));
  held.K = write_at(held.K, K, held.length);
  held.V = write_at(held.V, V, held.length);
  held.length += K.shape(2);
  return {first(*held.K, held.length), first(*held.V, held.length)};
}

} // namespace tessera
