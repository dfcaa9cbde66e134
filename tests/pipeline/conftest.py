from pipeline_house import house

__all__ = ["house"]
