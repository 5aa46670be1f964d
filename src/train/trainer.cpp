#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/cross_entropy.h"

namespace tessera::train {

namespace {

mx::array tokens_of(const std::vector<std::int32_t>& ids, mx::Shape shape) {
  return mx::array(ids.begin(), std::move(shape), mx::int32);
}

Parameters merged(const Network& network, const Parameters& trained) {
  Parameters all = network.frozen;
  for (const auto& [name, array] : trained) {
    all.insert_or_assign(name, mx::astype(array, network.dtype));
  }
  return all;
}

} // namespace

mx::array summed_loss(
    const Network& network,
    const Parameters& trained,
    const Batch& batch,
    const LossOptions& options) {
  Parameters parameters = merged(network, trained);
  ForwardOptions forward = network.forward;
  forward.dropout_seed = options.dropout_seed;
  if (!batch.segments.empty()) {
    const mx::Shape shape{batch.rows, batch.columns};
    const mx::array ids = tokens_of(batch.segments, shape);
    forward.attention.segments = Segments{ids, ids};
    forward.positions = tokens_of(batch.positions, shape);
  }
  mx::array hidden = hidden_states(
      network.config,
      parameters,
      tokens_of(batch.inputs, {batch.rows, batch.columns}),
      forward);
  hidden = mx::flatten(hidden, 0, 1); // [rows * columns, hidden]

  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> targets;
  for (std::size_t i = 0; i < batch.weights.size(); ++i) {
    if (batch.weights[i] != 0) {
      positions.push_back(static_cast<std::int32_t>(i));
      targets.push_back(batch.targets[i]);
    }
  }
  int count = static_cast<int>(positions.size());
  if (count < hidden.shape(0)) {
    hidden = mx::take(hidden, tokens_of(positions, {count}), 0);
  }
  std::string head(head_name(network.config));
  return ops::linear_cross_entropy(
      hidden,
      parameters.at(head),
      tokens_of(targets, {count}),
      {network.loss_bytes,
       options.differentiated,
       options.differentiated && trained.contains(head)});
}

LossAndGradient loss_and_gradient(
    const Network& network,
    const Parameters& trained,
    const std::vector<Batch>& batches,
    std::uint64_t dropout_seed) {
  std::vector<std::string> names;
  std::vector<mx::array> values;
  for (const auto& [name, value] : trained) {
    names.push_back(name);
    values.push_back(value);
  }
  std::vector<int> all(names.size());
  std::iota(all.begin(), all.end(), 0);
  std::int64_t targets = 0;
  for (const Batch& batch : batches) {
    targets += batch.target_count;
  }
  mx::array share(1.0f / static_cast<float>(targets));

  LossAndGradient total{mx::array(0.0f), {}, {}};
  for (std::size_t k = 0; k < batches.size(); ++k) {
    LossOptions how{derive_seed(dropout_seed, k), true};
    auto mean = [&](const std::vector<mx::array>& x) {
      Parameters parameters;
      for (std::size_t i = 0; i < x.size(); ++i) {
        parameters.emplace(names[i], x[i]);
      }
      return summed_loss(network, parameters, batches[k], how) * share;
    };
    auto [loss, gradients] = mx::value_and_grad(mean, all)(values);
    total.loss = k == 0 ? loss : total.loss + loss;
    total.shares.push_back(loss);
    for (std::size_t i = 0; i < names.size(); ++i) {
      auto [at, fresh] = total.gradient.try_emplace(names[i], gradients[i]);
      if (!fresh) {
        at->second = at->second + gradients[i];
      }
    }
    if (batches.size() > 1) {
      // Only one batch's graph is alive at a time.
      std::vector<mx::array> so_far{total.loss};
      for (const auto& [name, gradient] : total.gradient) {
        so_far.push_back(gradient);
      }
      mx::eval(std::move(so_far));
    }
  }
  return total;
}

Updated update(
    const Network& network,
    Trained state,
    const std::vector<Batch>& batches,
    const UpdateOptions& options) {
  auto [loss, gradient, shares] = loss_and_gradient(
      network, state.parameters, batches, options.dropout_seed);
  auto clipped =
      clip_by_global_norm(std::move(gradient), options.max_grad_norm);
  state = adam_update(
      std::move(state),
      std::move(clipped.gradient),
      options.learning_rate,
      options.adam);
  // All at once, so that MLX frees and reuses memory as it goes.
  std::vector<mx::array> all{loss, clipped.norm};
  all.insert(all.end(), shares.begin(), shares.end());
  for (const Parameters* group : {&state.parameters, &state.m, &state.v}) {
    for (const auto& [name, array] : *group) {
      all.push_back(array);
    }
  }
  mx::eval(std::move(all));
  Updated updated{
      std::move(state), loss.item<float>(), clipped.norm.item<float>(), {}};
  for (mx::array& share : shares) {
    updated.shares.push_back(share.item<float>());
  }
  return updated;
}

EvalReport evaluate(
    const Network& network,
    const Parameters& trained,
    const Evaluation& evaluation) {
  BatchOrder order(evaluation.data, evaluation.shape, 0);
  int batches = static_cast<int>(order.batches_per_epoch());
  if (evaluation.max_batches >= 0) {
    batches = std::min(batches, evaluation.max_batches);
  }
  EvalReport report;
  double sum = 0;
  for (int k = 0; k < batches; ++k) {
    Batch batch =
        make_batch(evaluation.data, order.batch(static_cast<std::uint64_t>(k)));
    mx::array loss = summed_loss(network, trained, batch);
    sum += static_cast<double>(loss.item<float>());
    report.target_tokens += batch.target_count;
    evaluation.progress(k + 1, batches);
  }
  report.loss = sum / static_cast<double>(report.target_tokens);
  report.perplexity = std::exp(report.loss);
  return report;
}

} // namespace tessera::train
