"""The network in training: encoder, decoder, heads over tags, cluster centers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from model_training.network.encoder import Decoder, Encoder
from model_training.network.losses import log_soft_assignment
from model_training.network.training_config import TrainingConfig


class ClusteringNetwork(nn.Module):
    """Encoder, decoder, heads and centers; a bundle has no decoder.

    Parameters
    ----------
    config
        Configuration with the shapes; there is no decoder where no loss needs one.
    values
        Keyword to number of values of each tag that is predicted from the embedding.
    """

    cluster_centers: nn.Parameter

    def __init__(self, config: TrainingConfig, values: Mapping[str, int]) -> None:
        super().__init__()
        shape = config.size, config.filters, config.embedding
        self.encoder = Encoder(
            *shape, batch_norm=config.batch_norm, residual=config.residual
        )
        reconstructs = config.beta or not (config.tags or config.pretrain_pairs)
        self.decoder = Decoder(*shape) if reconstructs else None
        self.heads = nn.ModuleDict(
            {tag: nn.Linear(config.embedding, count) for tag, count in values.items()}
        )
        centers = torch.zeros(config.clusters, config.embedding)
        self.cluster_centers = nn.Parameter(centers)
        self.degrees = config.degrees
        self.precision = config.precision

    def forward(
        self, tiles: Tensor, *, reconstruct: bool = True
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """Return embedding, reconstruction and the logits of each tag, as float32.

        The reconstruction is None without `reconstruct` or without a decoder.
        """
        z = self.embed(tiles)
        reconstruction = None
        if reconstruct and self.decoder is not None:
            reconstruction = self._reconstruct(z)
        return z, reconstruction, {tag: head(z) for tag, head in self.heads.items()}

    def embed(self, tiles: Tensor) -> Tensor:
        """Return embeddings (N, D) as float32 in every precision."""
        with self._autocast(tiles):
            z: Tensor = self.encoder(tiles)
        return z.float()

    def log_soft_assignment(self, embedding: Tensor) -> Tensor:
        """Return log q of embeddings (N, D), of shape (N, K)."""
        return log_soft_assignment(embedding, self.cluster_centers, self.degrees)

    def _reconstruct(self, embedding: Tensor) -> Tensor:
        assert self.decoder is not None  # noqa: S101 -- for the type checker
        with self._autocast(embedding):
            reconstruction: Tensor = self.decoder(embedding)
        return reconstruction.float()

    def _autocast(self, like: Tensor) -> torch.autocast:
        """Return the context in which layers calculate in bfloat16; weights stay float32."""
        wanted = self.precision == "bf16" and self.training
        return torch.autocast(like.device.type, torch.bfloat16, enabled=wanted)

    def compile_layers(self) -> None:
        """Compile encoder and decoder when they are first used."""
        self.encoder.compile()
        if self.decoder is not None:
            self.decoder.compile()

    def freeze_norms(self) -> None:
        """Stop updating the statistics of the norms: the cluster centers depend on them."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()

    @torch.no_grad()
    def whiten(self, mean: Tensor, matrix: Tensor) -> None:
        """Whiten the embedding z to (z - mean) @ matrix, and invert that in its readers.

        Heads and decoder give the same outputs afterwards. The frozen norm of the
        embedding is folded into the dense layer first.
        """
        self._fold_norm()
        # Double precision, because the inverse amplifies rounding.
        mean, matrix = (
            t.to(self.cluster_centers.device).double() for t in (mean, matrix)
        )
        inverse = torch.linalg.inv(matrix)
        dense = self.encoder.dense
        weight, bias = dense.weight.double(), dense.bias.double()
        dense.weight.copy_(matrix.T @ weight)
        dense.bias.copy_((bias - mean) @ matrix)
        readers = [*self.heads.values()]
        if self.decoder is not None:
            readers.append(self.decoder.dense)
        for reader in readers:
            assert isinstance(reader, nn.Linear)  # noqa: S101 -- for the type checker
            before = reader.weight.double()
            reader.bias.copy_(reader.bias.double() + before @ mean)
            reader.weight.copy_(before @ inverse.T)

    def _fold_norm(self) -> None:
        """Fold the embedding's frozen norm into the dense layer; the norm is then identity."""
        norm, dense = self.encoder.norm, self.encoder.dense
        if not isinstance(norm, nn.BatchNorm1d):
            return
        assert norm.running_mean is not None  # noqa: S101 -- for the type checker
        assert norm.running_var is not None  # noqa: S101 -- for the type checker
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        dense.bias.copy_((dense.bias - norm.running_mean) * scale + norm.bias)
        dense.weight.mul_(scale.unsqueeze(1))
        norm.reset_parameters()
        # sqrt(running_var + eps) is 1: the norm is the identity.
        norm.running_var.fill_(1 - norm.eps)
