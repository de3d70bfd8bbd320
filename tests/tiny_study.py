"""A study that every stage can run in seconds."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIP = {"frames": 8, "stride": 1, "crop": 32}
OPTIONS = {"depth": 10, "width": 4, "stem_frames": 3}
TINY = {
    "name": "tiny",
    "title": "A tiny study",
    "threads": 1,
    "measured_classes": 12,
    "motion": {
        "frames": 12,
        "width": 40,
        "height": 32,
        "kinetics_train_per_class": 2,
        "kinetics_val_per_class": 1,
        "ucf_groups": 3,
        "ucf_clips_per_group": 1,
        "hmdb_train_per_class": 1,
        "hmdb_test_per_class": 1,
        "hmdb_unused_per_class": 0,
        "pool_videos": 20,
    },
    "datasets": {
        "kinetics400": {"layout": "kinetics400", "root": "{motion}/kinetics400"},
        "ucf101": {"layout": "ucf101", "root": "{motion}/ucf101", "splits": [1, 2, 3]},
        "pool": {"layout": "unlabelled", "root": "{motion}/pool"},
    },
    "models": {
        "dynamonet": {"build": "dynamonet", "options": OPTIONS, "clip": CLIP},
        "backbone": {
            "build": "dynamonet",
            "title": "backbone alone",
            "options": {**OPTIONS, "prediction": False, "dmr_features": 0},
            "clip": CLIP,
            "init_from": "dynamonet",
        },
        "slow_r50": {"build": "slow_r50", "options": {"width": 8}, "clip": {"frames": 4, "stride": 2, "crop": 32}},
    },
    "recipes": {"short": {"steps": 6, "batch_size": 4, "learning_rate": 0.001, "log_every": 2, "checkpoint_every": 2}},
    "experiments": {
        "pretraining": {
            "claim": "unlabelled video teaches motion",
            "task": "pretrain",
            "models": ["dynamonet"],
            "dataset": "pool",
            "recipe": "short",
            "tables": ["frame_prediction"],
        },
        "kinetics400": {
            "claim": "joint training helps",
            "models": ["dynamonet", "backbone", "slow_r50"],
            "dataset": "kinetics400",
            "init": ["scratch"],
            "recipe": "short",
            "tables": ["accuracy", "ablation", "frame_prediction"],
        },
        "ucf101": {
            "claim": "and after fine-tuning",
            "models": ["dynamonet", "backbone"],
            "dataset": "ucf101",
            "init": ["kinetics400"],
            "recipe": "short",
            "tables": ["accuracy"],
        },
        "labels": {
            "claim": "pretraining cuts the labels needed",
            "models": ["dynamonet", "backbone"],
            "dataset": "kinetics400",
            "init": ["scratch", "pretraining"],
            "label_fractions": [0.5, 1.0],
            "recipe": "short",
            "tables": ["label_efficiency"],
        },
    },
    "claims": {
        "pretraining": {
            "text": "Pretraining helps",
            "treatment": {"experiment": "labels", "model": "dynamonet", "init": "pretraining", "label_fraction": 0.5},
            "control": {"experiment": "labels", "model": "dynamonet", "init": "scratch", "label_fraction": 0.5},
        }
    },
}
