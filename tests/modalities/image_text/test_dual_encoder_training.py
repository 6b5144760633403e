import pytest
import torch
from torch import nn
from transformers import (
    Trainer,
    TrainingArguments,
)

from hf_unlab.modalities.image_text.dual_encoder import has_batch_norm
from hf_unlab.modalities.image_text.models import load_dual_encoder
from hf_unlab.modalities.image_text.tiny_clip import tiny_clip
from tests.modalities.image_text.dual_encoders import (
    CAPTIONS,
    IMAGES,
    MAKERS,
    OPEN_CLIP,
    RESNET,
    TOKENIZER,
    loss_of,
    make,
    open_clip_model,
    outputs,
)

# ---- LiT, BatchNorm, checkpointing, patch dropout ----


@pytest.mark.parametrize("kind", ["resnet", *MAKERS])
def test_locked_image_tower_stays(kind):
    model = (open_clip_model(RESNET) if kind == "resnet" else make(kind)).train()
    model.lock_image_tower()
    before = {name: tensor.clone() for name, tensor in model.image_tower.state_dict().items()}
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad])
    for _ in range(2):
        loss_of(outputs(model.train())).backward()
        optimizer.step()
    after = model.image_tower.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(weight.grad is None for weight in model.image_tower.parameters())
    assert not model.image_tower.training and model.training
    assert not has_batch_norm(model)


def test_batch_norm_is_found():
    assert has_batch_norm(open_clip_model(RESNET))
    assert has_batch_norm(tiny_clip(TOKENIZER))
    assert not any(has_batch_norm(make(kind)) for kind in MAKERS)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("enable", ["activation_checkpointing_enable", "gradient_checkpointing_enable"])
def test_checkpointing_gives_equal_gradients(kind, enable):
    model, again = make(kind).train(), make(kind).train()
    if kind == "towers":  # ViT and BERT have dropout
        for part in [*model.modules(), *again.modules()]:
            if isinstance(part, nn.Dropout):
                part.p = 0.0
    getattr(again, enable)()
    saved = [count_saved(one) for one in (model, again)]
    assert saved[1] < saved[0]
    for (name, weight), other in zip(model.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, msg=name)


def count_saved(model):
    """How many values autograd keeps between forward and backward."""
    total = 0

    def pack(tensor):
        nonlocal total
        total += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_of(outputs(model))
    loss.backward()
    return total


def test_trainer_trains_with_checkpointing(tmp_path):
    class Contrast(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return loss_of(model(**inputs))

    # its name since transformers 5.20
    is_new = "activation_checkpointing" in TrainingArguments.__dataclass_fields__
    checkpointing = "activation_checkpointing" if is_new else "gradient_checkpointing"
    for kind in ("open_clip", "clip"):
        model = make(kind)
        texts = model.tokenize(CAPTIONS)
        data = [{"pixel_values": IMAGES[i], **{key: value[i] for key, value in texts.items()}} for i in range(4)]
        args = TrainingArguments(
            str(tmp_path), max_steps=2, **{checkpointing: True}, use_cpu=True, disable_tqdm=True, report_to=[],
            save_strategy="no", per_device_train_batch_size=4, dataloader_pin_memory=False,
        )  # fmt: skip
        before = model.encode_text(**texts)
        Contrast(model, args, train_dataset=data).train()
        assert not torch.equal(model.encode_text(**texts), before)


def test_patch_dropout_in_training_only(tmp_path):
    torch.manual_seed(0)
    open_clip_model(OPEN_CLIP).save_pretrained(tmp_path)
    whole = load_dual_encoder(str(tmp_path))
    dropping = load_dual_encoder(str(tmp_path), patch_dropout=0.5)
    features = [dropping.encode_image(IMAGES) for _ in range(2)]
    assert not torch.allclose(*features)
    torch.testing.assert_close(dropping.eval().encode_image(IMAGES), whole.eval().encode_image(IMAGES))
    dropping.save_pretrained(tmp_path / "again")
    assert "patch_dropout" not in (tmp_path / "again/open_clip_config.json").read_text()
    dropping.train().lock_image_tower()
    torch.testing.assert_close(dropping.encode_image(IMAGES), whole.encode_image(IMAGES))
