"""Everything that is trained: encoder, decoder, heads over tags, cluster centers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from model_training.config import TrainingConfig
from model_training.encoder import Decoder, Encoder
from model_training.losses import log_soft_assignment


class ClusteringNetwork(nn.Module):
    """The encoder with all that its losses need; of it only encoder and centers ship.

    Parameters
    ----------
    config
        Gives the shapes; without weight for reconstruction there is no decoder.
    values
        Keyword to number of values, of the tags that are predicted from the embedding.
    """

    cluster_centers: nn.Parameter

    def __init__(self, config: TrainingConfig, values: Mapping[str, int]) -> None:
        super().__init__()
        shape = config.size, config.filters, config.embedding
        self.encoder = Encoder(*shape, batch_norm=config.batch_norm)
        self.decoder = Decoder(*shape) if config.beta else None
        self.heads = nn.ModuleDict(
            {tag: nn.Linear(config.embedding, count) for tag, count in values.items()}
        )
        centers = torch.zeros(config.clusters, config.embedding)
        self.cluster_centers = nn.Parameter(centers)
        self.degrees = config.degrees

    def forward(
        self, tiles: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None, dict[str, Tensor]]:
        """Return embedding, log q, reconstruction and the logits of each tag."""
        z = self.encoder(tiles)
        log_q = log_soft_assignment(z, self.cluster_centers, self.degrees)
        drawn = self.decoder(z) if self.decoder is not None else None
        return z, log_q, drawn, {tag: head(z) for tag, head in self.heads.items()}

    def freeze_norms(self) -> None:
        """Use the statistics as they are: centers were placed under them."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()

    @torch.no_grad()
    def whiten(self, mean: Tensor, matrix: Tensor) -> None:
        """Turn embeddings z into (z - mean) @ matrix, and what reads them back."""
        inverse = torch.linalg.inv(matrix)
        mean, matrix = mean.to(torch.float64), matrix.to(torch.float64)
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
            reader.weight.copy_(before @ inverse.double().T)
