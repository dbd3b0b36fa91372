"""Flash-style attention over dense tiles with the packed bit mask, forward and backward, for GPUs.

No N x N tensor is ever stored (except the position bias and its gradient, which have that shape), nothing is
added atomically, and the gradients are the same at every run. Importing this package does not import Triton.

Shapes, in every file: M windows, H heads, N tokens per window, D channels per head; Q query rows and K keys of a
tile. Per head and window, with factors a_i = scale / ‖query_i‖ and c_j = 1 / ‖key_j‖:

    s_ij = a_i c_j (query_i · key_j) + bias_ij where the dictionary keeps j, else -inf
    out_i = Σ_j p_ij value_j,   p_ij = exp(s_ij - lse_i),   lse_i = log Σ_j exp(s_ij)

and in the backward pass, with G the gradient of out, delta_i = G_i · out_i and ds_ij = p_ij (G_i · value_j - delta_i),

    d bias_ij = Σ_windows ds_ij,   d value_j = Σ_i p_ij G_i,
    u_i = Σ_j ds_ij c_j key_j,     d scale = Σ_i t_i,   t_i = q̂_i · u_i,   d query_i = a_i (u_i - t_i q̂_i),
    w_j = Σ_i ds_ij a_i query_i,   d key_j = c_j (w_j - (k̂_j · w_j) k̂_j)       with q̂, k̂ of length one.
"""
