#pragma once

#include <mlx/mlx.h>
#include <mlx/primitives.h>

#include <memory>
#include <utility>
#include <vector>

#include "api/metal/backend.h"
#include "api/problem.h"

namespace tessera {

// A node of MLX's graph whose inputs and outputs are operands, in a given
// order. The first three inputs are Q, K and V.
class AttentionNode : public mx::Primitive {
 public:
  AttentionNode(
      mx::Stream stream,
      AttentionSettings settings,
      std::vector<Operand> inputs,
      std::vector<Operand> outputs);

  // The outputs of such a node on these arrays.
  std::vector<mx::array> apply(const std::vector<mx::array>& inputs) const;

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override;
  void eval_gpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override;
  std::vector<mx::array> jvp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& tangents,
      const std::vector<int>& argnums) override;
  std::pair<std::vector<mx::array>, std::vector<int>> vmap(
      const std::vector<mx::array>& inputs,
      const std::vector<int>& axes) override;
  std::vector<mx::Shape> output_shapes(
      const std::vector<mx::array>& inputs) override;
  bool is_equivalent(const mx::Primitive& other) const override;

 protected:
  virtual std::shared_ptr<AttentionNode> again() const = 0;
  virtual std::vector<Pass> passes() const = 0;
  mx::Stream on() const {
    return stream_;
  }

  // What a GPU is to launch, told of the arrays.
  virtual metal::Scheduled steps(const metal::Call& call) const = 0;

  const AttentionSettings settings_;
  const std::vector<Operand> inputs_;
  const std::vector<Operand> outputs_;

 private:
  void eval_metal(
      const MetalBackend& backend,
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs);
  mx::Shape shape_of(
      Operand output, const std::vector<mx::array>& inputs) const;
  mx::Dtype dtype_of(
      Operand output, const std::vector<mx::array>& inputs) const;

  const mx::Stream stream_; // Primitive's is not const
};

// inputs_of(settings), O, L, dO, dL -> those of dQ, dK, dV, dbias, dslopes and
// dsinks that are wanted, in the shapes and dtypes of what they are gradients
// of.
class AttentionBackward : public AttentionNode {
 public:
  AttentionBackward(
      mx::Stream stream,
      AttentionSettings settings,
      std::vector<Operand> wanted);

  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>& outputs) override;
  const char* name() const override;

 protected:
  std::shared_ptr<AttentionNode> again() const override;
  std::vector<Pass> passes() const override;
  metal::Scheduled steps(const metal::Call& call) const override;
};

// inputs_of(settings) -> O, L.
class AttentionForward : public AttentionNode {
 public:
  AttentionForward(mx::Stream stream, AttentionSettings settings);

  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>& outputs) override;
  const char* name() const override;

 protected:
  std::shared_ptr<AttentionNode> again() const override;
  std::vector<Pass> passes() const override;
  metal::Scheduled steps(const metal::Call& call) const override;

 private:
  AttentionBackward backward_node(
      const std::vector<mx::array>& primals,
      const std::vector<Operand>& wanted) const;
};

} // namespace tessera
