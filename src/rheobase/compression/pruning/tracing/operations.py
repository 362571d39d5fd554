"""The operations that channels are followed through, by the name of the torch function.

Every name stands for `torch.NAME`, `Tensor.NAME`, `torch.nn.functional.NAME`, the operator `__NAME__` and the in-place `NAME_`.
"""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# One element of the output depends on the elements at the same place.
ELEMENTWISE = _names(
    """add sub subtract rsub mul multiply div divide true_divide floor_divide radd rmul rdiv rtruediv truediv iadd imul isub
    itruediv neg pos negative abs sign pow rpow square sqrt rsqrt reciprocal exp expm1 log log1p sin cos erf tanh sigmoid relu
    relu6 gelu silu mish elu selu celu leaky_relu hardtanh hardsigmoid hardswish softplus softsign logsigmoid clamp clip
    clamp_min clamp_max round floor ceil trunc frac heaviside maximum minimum fmax fmin where lerp addcmul addcdiv masked_fill
    gt ge lt le eq ne greater less logical_and logical_or logical_not logical_xor bitwise_and bitwise_or and or xor invert
    float double half bfloat16 bool int long to type type_as detach clone contiguous requires_grad_ requires_grad data copy
    zeros_like ones_like full_like empty_like rand_like randn_like dropout dropout1d dropout2d dropout3d feature_dropout
    alpha_dropout bernoulli nan_to_num fmod remainder fill zero"""
)
# Elements are moved, repeated, split or put side by side, and none is computed.
STRUCTURAL = _names(
    """reshape view reshape_as view_as flatten unflatten transpose swapaxes swapdims permute movedim moveaxis t T mT squeeze
    unsqueeze expand expand_as broadcast_to repeat tile roll flip getitem select narrow chunk split tensor_split unbind stack cat
    concat concatenate index_select"""
)
SPLITS = _names("reshape view unflatten reshape_as view_as")
EQUAL_PIECES = _names("chunk tensor_split")
# A window of the last axes.
SPATIAL = {
    f"{kind}{rank}d": rank
    for kind in ("avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool")
    for rank in (1, 2, 3)
}
RESAMPLINGS = _names("interpolate upsample")  # of all axes after the channels
REORDERS = _names("getitem index_select roll")
REDUCTIONS = _names(
    "mean sum amax amin max min std var prod any all norm logsumexp count_nonzero nansum nanmean argmax argmin"
)
ALONG = _names("softmax log_softmax softmin cumsum cumprod normalize sort")
PRODUCTS = _names("matmul rmatmul bmm mm")
CONVOLUTIONS = {"conv1d": 1, "conv2d": 2, "conv3d": 3}
