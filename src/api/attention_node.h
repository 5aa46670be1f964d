#pragma once

#include <mlx/mlx.h>
#include <mlx/primitives.h>

#include <vector>

#include "kernel/operand.h"

namespace tessera {

namespace mx = mlx::core;

// What the nodes of a call share.
struct AttentionSettings {
  float scale = 1.0f;
  bool causal = false;
  int block_size = 0;

  bool operator==(const AttentionSettings&) const = default;
};

// Q, K, V -> O, L.
class AttentionForward : public mx::Primitive {
 public:
  AttentionForward(mx::Stream stream, AttentionSettings settings);

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override;
  void eval_gpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override;
  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>& outputs) override;
  std::pair<std::vector<mx::array>, std::vector<int>> vmap(
      const std::vector<mx::array>& inputs,
      const std::vector<int>& axes) override;
  std::vector<mx::Shape> output_shapes(
      const std::vector<mx::array>& inputs) override;
  bool is_equivalent(const mx::Primitive& other) const override;
  const char* name() const override;

 private:
  AttentionSettings settings_;
};

// Q, K, V, O, L, dO, dL -> those of dQ, dK, dV that are wanted, in this order.
class AttentionBackward : public mx::Primitive {
 public:
  AttentionBackward(
      mx::Stream stream,
      AttentionSettings settings,
      std::vector<Operand> wanted);

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override;
  void eval_gpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override;
  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>& outputs) override;
  std::pair<std::vector<mx::array>, std::vector<int>> vmap(
      const std::vector<mx::array>& inputs,
      const std::vector<int>& axes) override;
  std::vector<mx::Shape> output_shapes(
      const std::vector<mx::array>& inputs) override;
  bool is_equivalent(const mx::Primitive& other) const override;
  const char* name() const override;

 private:
  AttentionSettings settings_;
  std::vector<Operand> wanted_;
};

} // namespace tessera
